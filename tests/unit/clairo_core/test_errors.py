import re

from clairo_core import errors


def test_the_documented_tree_is_the_tree_of_the_classes():
    documented, ancestors = {}, {}
    for branches, name in re.findall(r"^([│├└─ ]*)(\w+Error)\b", errors.__doc__, re.MULTILINE):
        depth = len(branches) // 4
        ancestors[depth] = name
        documented[name] = ancestors.get(depth - 1, "Exception")
    classes = {
        name: value.__base__.__name__
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert documented == classes
