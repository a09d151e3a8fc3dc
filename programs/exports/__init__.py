"""Programs as modules for Optax, PyTorch and Keras, and as equations."""
