"""Which xenroll this is: what `xenroll --version` prints, and what agents report of themselves."""

VERSION = "0.1.0"
