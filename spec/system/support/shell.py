"""Commands of a page, typed as they are printed: only the places differ, so that no file of the checkout is edited."""
import os
import re
import subprocess

from support.stack import ROOT, VAR


class Shell:
    """One bash in which block after block is typed; run() gives what a block printed on both outputs."""

    END = "--- the end of a block ---"

    def __init__(self, rules):
        self.rules = rules
        self.bash = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                     cwd=ROOT, env={**os.environ, "FASTR_RULES_DIR": rules})

    def run(self, block):
        block = block.replace("var/shop.env", VAR + "/shop.env").replace("scripts/rules", self.rules)
        block = re.sub(r"^git checkout .*$", "", block, flags=re.M)
        self.bash.stdin.write(f"{block}\necho; echo '{self.END}'\n")
        self.bash.stdin.flush()
        printed = []
        for line in self.bash.stdout:
            if line.rstrip("\n") == self.END:
                return "".join(printed)
            printed.append(line)
        raise AssertionError("the shell has ended: " + "".join(printed))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bash.stdin.close()
        self.bash.wait(timeout=30)
        self.bash.stdout.close()
