"""Pictures from a user: files, Pillow's images and arrays, in any mode and of any type."""
