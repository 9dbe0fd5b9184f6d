"""The panel's form: the fields of a request, their errors, and the plan of what is entered."""
