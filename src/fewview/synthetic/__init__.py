"""Sets that this package makes itself: objects and rooms, their shapes and the OpenGL that renders them."""
