// A small shop. Its server says in /config.json where the recommender is, the public key, and the shop's products.

const config = await (await fetch("/config.json")).json();
const { connect } = await import(`${config.service}/clairo.js`);
const userId = new URLSearchParams(location.search).get("user") ?? sessionStorage.getItem("user");
if (userId) sessionStorage.setItem("user", userId);

export const clairo = connect({ key: config.key, userId });
export const { products } = config;
export const titleOf = (itemId) => products.find((product) => product.item_id === itemId)?.title ?? itemId;
export const cart = () => JSON.parse(sessionStorage.getItem("cart") ?? "[]");

export function addToCart(itemId) {
  sessionStorage.setItem("cart", JSON.stringify([...cart(), itemId]));
  clairo.track("cart", itemId);
}

// An item without a picture keeps the empty frame.
export function show(picture, item) {
  const url = clairo.pictureUrl(item);
  if (url) picture.src = url;
}

export function cardOf(product) {
  const link = document.createElement("a");
  link.href = `/product.html?item_id=${encodeURIComponent(product.item_id)}`;
  const picture = Object.assign(document.createElement("img"), { alt: "", loading: "lazy" });
  show(picture, product);
  link.append(picture, product.title);
  const card = document.createElement("li");
  card.dataset.itemId = product.item_id;
  card.append(link);
  return card;
}
