"""Where the server is and who owns its account, as `bootstrap.env` gives it in the environment."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    url: str
    account: str
    owner: str
    apikey: str
    region: str
    resource_group: str

    @staticmethod
    def from_environment(environment=os.environ) -> "Settings":
        names = ("AVOUCH_URL", "ACCOUNT_ID", "IAM_ID", "IAM_APIKEY", "REGION", "RESOURCE_GROUP_ID")
        missing = [name for name in names if not environment.get(name)]
        if missing:
            raise SystemExit(f"not set: {', '.join(missing)}; start this suite with interop/run.sh")
        values = [environment[name] for name in names]
        return Settings(values[0].rstrip("/"), *values[1:])

    def __repr__(self) -> str:
        return f"Settings({self.url}, account {self.account})"


def read_bootstrap(path) -> dict:
    """The variables of a `bootstrap.env` file."""
    variables = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            line = line.strip().removeprefix("export ")
            if line and not line.startswith("#"):
                name, _, value = line.partition("=")
                variables[name] = value.strip().strip("'\"")
    return variables
