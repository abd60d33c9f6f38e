"""Users of an account through the published client of user management."""

import uuid

import pytest
import requests

from avouch_interop import clients


@pytest.fixture
def someone(owner, settings):
    """A user who was just added; adding one is a request of our own."""
    answer = requests.post(
        f"{settings.url}/avouch/v1/users",
        json={"email": f"{uuid.uuid4().hex}@company.test", "account_id": settings.account},
        headers={"Authorization": f"Bearer {owner.bearer()}"},
        timeout=30,
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def names(settings, user):
    return {"account_id": settings.account, "iam_id": user["iam_id"]}


def test_a_user_is_read_changed_disabled_and_removed(owner, settings, someone, refused):
    them = names(settings, someone)
    key = owner.identity.create_api_key(name="first", iam_id=them["iam_id"], account_id=settings.account).get_result()
    theirs = clients.by_apikey(settings, key["apikey"])
    assert theirs.users.get_user_profile(**them).get_result()["state"] == "ACTIVE"

    assert owner.users.update_user_profile(**them, firstname="Eve", lastname="Example").get_status_code() == 204
    shown = owner.users.get_user_profile(**them).get_result()
    assert (shown["firstname"], shown["lastname"], shown["email"]) == ("Eve", "Example", someone["email"])

    state = {"state": "DISABLED_CLASSIC_INFRASTRUCTURE"}
    assert owner.users.update_user_profile(**them, **state).get_status_code() == 204
    with refused(401):
        theirs.users.get_user_profile(**them)
    assert owner.users.update_user_profile(**them, state="ACTIVE").get_status_code() == 204
    assert theirs.users.get_user_profile(**them).get_result()["state"] == "ACTIVE"
    with refused(403):
        theirs.users.update_user_profile(**them, **state)
    with refused(403):
        theirs.users.remove_user(**them)
    with refused(400):
        owner.users.update_user_profile(**them, phonenumber="123")

    assert owner.users.remove_user(**them).get_status_code() == 204
    with refused(401):
        theirs.users.get_user_profile(**them)
    with refused(404):
        owner.users.get_user_profile(**them)
    with refused(404):
        owner.users.remove_user(**them)


def test_users_are_listed_page_by_page(owner, settings, someone):
    listed, start = [], None
    while True:
        page = owner.users.list_users(settings.account, limit=1, start=start).get_result()
        assert len(page["resources"]) == 1
        listed += [user["iam_id"] for user in page["resources"]]
        if "next_url" not in page:
            break
        start = page["next_url"].split("_start=")[1]
    assert someone["iam_id"] in listed
    assert len(listed) == len(set(listed)) == page["total_results"]
