"""GPU models: their datasheets, their names, and the shares of both that CogVideoX reaches."""
