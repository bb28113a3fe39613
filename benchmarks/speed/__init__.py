"""Speed and memory of one part or of the whole service, beside a rival where there is one."""
