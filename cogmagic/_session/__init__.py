"""The one pipeline that a kernel holds, and its runs."""
