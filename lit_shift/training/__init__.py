"""Train and test a network with Lightning, safely and resumably."""
