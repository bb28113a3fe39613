// The playground, over the public API alone: click a history together, see recommendations and why, add a product and see who gets it.
// Start here: the page's parts are put together below.

import { setUpAdding } from "./add.js";
import { loadPage, markChosen, setUpCatalogue } from "./catalogue.js";
import { offerComparison, setUpComparison } from "./compare.js";
import { setUpHistory } from "./history.js";
import { askForKey, keptKey } from "./key.js";
import { byId, clairo } from "./page.js";
import { setUpProducts, showDetail } from "./product.js";
import { recommend, setUpRecommended } from "./recommended.js";
import { showError } from "./recovery.js";
import { loadShoppers, setUpShoppers } from "./shoppers.js";
import { loadAttributes, setUpWishes } from "./wishes.js";

async function showServed() {
  try {
    const served = await clairo.get("info");
    byId("served").textContent = `${served.num_items.toLocaleString("en")} products · ${served.bundle_id}`;
    byId("served").title = `preset ${served.preset}, catalogue version ${served.catalogue_version}`;
    byId("open-add").disabled = !served.can_ingest;
    byId("open-add").title = served.can_ingest ? "" : "This bundle has no encoders and takes no new products";
    offerComparison(served.answering_bundle_ids);
  } catch (error) {
    showError(error, "served", showServed);
  }
}

async function showAdded(item, milliseconds) {
  byId("query").value = "";
  // The catalogue and the lists behind the dialog follow; what counts now is the new product.
  await showDetail(item.item_id, milliseconds);
  await Promise.all([loadPage(true), loadAttributes(), recommend(), showServed()]);
}

for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
byId("open-key").hidden = !keptKey();
byId("open-key").addEventListener("click", async () => {
  if (await askForKey("Enter another key. Browsing needs scope read, adding products write.")) location.reload();
});
setUpCatalogue();
setUpComparison();
setUpProducts();
setUpRecommended();
setUpShoppers();
setUpWishes(recommend);
setUpAdding(showAdded);
setUpHistory(() => {
  markChosen();
  recommend();
});

showServed();
loadPage(true);
loadAttributes();
loadShoppers();
