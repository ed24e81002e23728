"""One training run: steps, validation, selection of epochs, records, checkpoints, and how tasks share gradients."""
