"""`python -m scheduler …` is `xenroll …`."""

from scheduler.cli import main

main()
