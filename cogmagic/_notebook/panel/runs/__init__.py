"""The panel's runs: their thread and queue, and what is shown of the one that runs."""
