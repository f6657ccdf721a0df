"""bench/compare: relayd and Debian's Postfix side by side. The command is bench/compare."""
