"""Attribution: what is attributed to the pixels, and how exactly."""
