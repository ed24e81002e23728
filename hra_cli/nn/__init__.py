"""What torch lacks: affine maps at full speed, frames of padded batches, devices and memory."""
