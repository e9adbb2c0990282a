"""Where a stream lives: its loop, its subscription, and the ways out of Rx."""
