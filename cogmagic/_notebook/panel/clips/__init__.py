"""The panel's clips: the one that is shown, the gallery, and what the notebook keeps."""
