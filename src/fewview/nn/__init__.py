"""Networks that know nothing of cameras: layers, U-Nets, autoencoders, and the networks of metrics."""
