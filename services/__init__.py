"""FASTCore's six services. They import the packages `contracts` and `runtime`, but never each other."""
