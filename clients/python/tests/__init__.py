import logging

# The tests cause trouble on purpose; those that are about its log look there.
logging.getLogger("taketurns").addHandler(logging.NullHandler())
