"""The finished video: the file, its report, how it is shown."""
