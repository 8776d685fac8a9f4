"""One action on many leads: choosing them, and working through them."""
