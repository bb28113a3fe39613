"""Settings for every test."""

import torch

# Models of tests are tiny: a second thread only waits for the first, and eight times as long on a busy machine.
torch.set_num_threads(1)
