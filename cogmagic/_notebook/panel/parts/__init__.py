"""Parts of the panel that concern no request: looks, words, and what needs the page."""
