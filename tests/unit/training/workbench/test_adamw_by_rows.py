"""AdamW that skips rows without a gradient: agreement with torch's, and rows that it leaves alone."""

import torch
from torch.nn import functional

from training.workbench.adamw_by_rows import AdamWByRows


def test_a_column_whose_rows_are_all_read_moves_as_with_torch() -> None:
    torch.manual_seed(0)
    start, places = torch.randn(5, 1), torch.randperm(5)
    moved = []
    for optimizer_of, is_sparse in ((AdamWByRows, True), (torch.optim.AdamW, False)):
        table, plain = start.clone().requires_grad_(), torch.ones(3, requires_grad=True)
        optimizer = optimizer_of([table, plain], lr=0.1, weight_decay=0.05, betas=(0.9, 0.98))
        for step in range(4):
            optimizer.zero_grad()
            read = functional.embedding(places, table, sparse=is_sparse)
            ((read.flatten() - step) ** 3).sum().add((plain**2).sum()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        moved.append((table.detach(), plain.detach()))
    torch.testing.assert_close(moved[0][0], moved[1][0])
    assert torch.equal(moved[0][1], moved[1][1])


def test_a_row_that_is_not_read_keeps_its_value_and_its_first_step_is_a_whole_one() -> None:
    table = torch.zeros(3, 2, requires_grad=True)
    optimizer = AdamWByRows([table], lr=0.1, weight_decay=0.0)
    for row in (0, 0, 0, 2):
        optimizer.zero_grad()
        functional.embedding(torch.tensor([row]), table, sparse=True).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.testing.assert_close(table.detach(), torch.tensor([[-0.3, -0.3], [0.0, 0.0], [-0.1, -0.1]]))
