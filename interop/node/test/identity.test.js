// Life of profiles, claim rules, links, identities, service IDs and API keys; account settings and reports.

import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { byApikey, names, newApikey, newProfile, newServiceId, owner, refused, settings, undo, walkPages } from '../lib/world.js';

const { identity } = owner;
const UNKNOWN = 'Profile-00000000-0000-4000-8000-00000000dead';
const MINUTE = /^\d{4}-\d\d-\d\dT\d\d:\d\d\+0000$/;
const conditions = [{ claim: 'blueGroups', operator: 'EQUALS', value: '"cloud-docs-dev"' }];
const fakeResource = `crn:v1:staging:public:iam-identity::a/${settings.account}::computeresource:Fake-Compute-Resource`;

describe('profiles', () => {
  it('new profile has the published form and its tag as header', async (t) => {
    const profile = await newProfile(t);
    assert.match(profile.id, /^Profile-[0-9a-f-]{36}$/);
    assert.equal(profile.iam_id, `iam-${profile.id}`);
    assert.equal(profile.crn, `crn:v1:bluemix:public:iam-identity::a/${settings.account}::profile:${profile.id}`);
    assert.match(profile.created_at, MINUTE);
    const { result, headers } = await identity.getProfile({ profileId: profile.id });
    assert.equal(headers.etag, result.entity_tag);
    assert.equal(result.entity_tag, profile.entity_tag);
  });

  it('update merges and wants the last revision', async (t) => {
    const profile = await newProfile(t);
    const update = (ifMatch, more) => identity.updateProfile({ profileId: profile.id, ifMatch, ...more });
    const { result } = await update(profile.entity_tag, { description: 'changed' });
    assert.deepEqual([result.name, result.description], [profile.name, 'changed']);
    await refused(update(profile.entity_tag, { description: 'stale' }), 409);
    assert.equal((await update('*', { description: 'forced' })).result.description, 'forced');
    await refused(identity.updateProfile({ profileId: UNKNOWN, ifMatch: 'dummy', description: 'x' }), 404);
  });

  it('names are unique and never look like ids', async (t) => {
    const { name } = await newProfile(t);
    await refused(identity.createProfile({ name, accountId: settings.account }), 409);
    await refused(identity.createProfile({ name: UNKNOWN, accountId: settings.account }), 400);
    await refused(identity.createProfile({ name: 'interop', accountId: 'invalid' }), 400);
  });

  it('list is walked with pages of one and ends without next', async (t) => {
    const name = names();
    const made = [];
    for (const word of ['one', 'two', 'three']) {
      made.push((await newProfile(t, name(word))).id);
    }
    const filter = `name co "${name.part}"`;
    const found = await walkPages(
      (page) => identity.listProfiles({ accountId: settings.account, filter, ...page }),
      'profiles',
    );
    assert.deepEqual(found.map(({ id }) => id).sort(), made.sort());
    const { result } = await identity.listProfiles({ accountId: settings.account, filter });
    assert.deepEqual([result.offset, result.limit, result.next], [0, 20, undefined]);
  });

  it('deleted profile is gone', async (t) => {
    const { id } = await newProfile(t);
    assert.equal((await identity.deleteProfile({ profileId: id })).status, 204);
    await refused(identity.getProfile({ profileId: id }), 404);
    await refused(identity.deleteProfile({ profileId: id }), 404);
    await refused(identity.getProfile({ profileId: 'invalid' }), 404);
  });
});

describe('claim rules', () => {
  it('rule lives through create, read, replace, delete', async (t) => {
    const { id: profileId } = await newProfile(t);
    const saml = { profileId, type: 'Profile-SAML', realmName: 'https://idp.example.test', conditions };
    const { result: rule, status } = await identity.createClaimRule({ ...saml, expiration: 43200 });
    assert.equal(status, 201);
    assert.match(rule.id, /^ClaimRule-/);
    assert.deepEqual(rule.conditions, conditions);
    const read = await identity.getClaimRule({ profileId, ruleId: rule.id });
    assert.equal(read.headers.etag, read.result.entity_tag);
    const replace = { ...saml, ruleId: rule.id, expiration: 33200, ifMatch: rule.entity_tag };
    assert.equal((await identity.updateClaimRule(replace)).result.expiration, 33200);
    await refused(identity.updateClaimRule(replace), 409);
    const { rules } = (await identity.listClaimRules({ profileId })).result;
    assert.deepEqual(rules.map((each) => each.id), [rule.id]);
    assert.equal((await identity.deleteClaimRule({ profileId, ruleId: rule.id })).status, 204);
    await refused(identity.getClaimRule({ profileId, ruleId: rule.id }), 404);
  });

  it('unfit rule is 400 and unknown profile 404, in this order', async () => {
    const base = { profileId: UNKNOWN, type: 'Profile-CR', crType: 'VSI', conditions };
    await refused(identity.createClaimRule(base), 404);
    await refused(identity.createClaimRule({ ...base, crType: 'dummy' }), 400);
    await refused(identity.createClaimRule({ ...base, crType: undefined }), 400);
    await refused(identity.createClaimRule({ ...base, conditions: [] }), 400);
    await refused(identity.createClaimRule({ ...base, type: 'Profile-Other' }), 400);
    const operator = [{ claim: 'name', operator: 'LIKE', value: '"x"' }];
    await refused(identity.createClaimRule({ ...base, conditions: operator }), 400);
  });
});

describe('links', () => {
  it('link lives through create, read, list, delete', async (t) => {
    const { id: profileId } = await newProfile(t);
    const link = { crn: fakeResource, namespace: 'default', name: 'nice name' };
    const { result, status } = await identity.createLink({ profileId, crType: 'ROKS_SA', link, name: 'nice link' });
    assert.equal(status, 201);
    assert.deepEqual(result.link, link);
    assert.ok(result.entity_tag && result.created_at && result.modified_at);
    await refused(identity.createLink({ profileId, crType: 'ROKS_SA', link }), 409);
    assert.equal((await identity.listLinks({ profileId })).result.links.length, 1);
    assert.equal((await identity.deleteLink({ profileId, linkId: result.id })).status, 204);
    await refused(identity.getLink({ profileId, linkId: result.id }), 404);
  });

  it('link is deleted by its parameters', async (t) => {
    const { id: profileId } = await newProfile(t);
    const link = { crn: fakeResource, component_type: 'test_component_type', component_name: 'test_component_name' };
    await identity.createLink({ profileId, crType: 'CE', link });
    const by = { profileId, type: 'CE', crn: fakeResource, componentType: 'test_component_type' };
    await refused(identity.deleteLinkByParameters({ ...by, componentName: 'other' }), 404);
    const { status } = await identity.deleteLinkByParameters({ ...by, componentName: 'test_component_name' });
    assert.equal(status, 204);
    assert.deepEqual((await identity.listLinks({ profileId })).result.links, []);
  });

  it('unfit link is 400 before the profile is looked up', async () => {
    const link = { crn: fakeResource, namespace: 'default', name: 'x' };
    await refused(identity.createLink({ profileId: UNKNOWN, crType: 'dummy', link }), 400);
    await refused(identity.createLink({ profileId: UNKNOWN, crType: 'IKS_SA', link: { crn: fakeResource } }), 400);
    await refused(identity.createLink({ profileId: UNKNOWN, crType: 'IKS_SA', link }), 404);
  });
});

describe('profile identities', () => {
  it('set starts empty with a revision and is replaced', async (t) => {
    const { id: profileId } = await newProfile(t);
    const service = await newServiceId(t);
    const { result: empty } = await identity.getProfileIdentities({ profileId });
    assert.deepEqual(empty.identities, []);
    const identities = [
      { type: 'user', identifier: 'IBMid-270000ABCD', accounts: [settings.account] },
      { type: 'serviceid', identifier: service.id },
    ];
    const { result } = await identity.setProfileIdentities({ profileId, ifMatch: empty.entity_tag, identities });
    assert.deepEqual(
      result.identities.map((each) => each.iam_id).sort(),
      ['IBMid-270000ABCD', service.iam_id].sort(),
    );
    await refused(identity.setProfileIdentities({ profileId, ifMatch: empty.entity_tag, identities }), 409);
    const cleared = await identity.setProfileIdentities({ profileId, ifMatch: '*', identities: [] });
    assert.deepEqual(cleared.result.identities, []);
  });

  it('identity is set, read and deleted by type, CRN in the path included', async (t) => {
    const { id: profileId } = await newProfile(t);
    const crn = `crn:v1:bluemix:public:secrets-manager:us-south:a/${settings.account}:some-guid::`;
    const set = { profileId, identityType: 'crn', identifier: crn, type: 'crn', description: 'the service' };
    const { result, status } = await identity.setProfileIdentity(set);
    assert.equal(status, 200);
    assert.equal(result.iam_id, `crn-${crn}`);
    const path = { profileId, identityType: 'crn', identifierId: crn };
    assert.equal((await identity.getProfileIdentity(path)).result.description, 'the service');
    assert.equal((await identity.deleteProfileIdentity(path)).status, 204);
    await refused(identity.getProfileIdentity(path), 404);
    await refused(identity.setProfileIdentity({ ...set, type: 'user' }), 400);
  });
});

describe('service IDs', () => {
  it('service ID lives through create, read, update, lock, unlock, delete', async (t) => {
    const service = await newServiceId(t);
    assert.equal(service.iam_id, `iam-${service.id}`);
    assert.equal(service.locked, false);
    const read = await identity.getServiceId({ id: service.id, includeHistory: true, includeActivity: true });
    assert.equal(read.headers.etag, read.result.entity_tag);
    assert.ok(read.result.history.length > 0);
    assert.equal(read.result.activity.authn_count, 0);
    const update = { id: service.id, ifMatch: service.entity_tag, description: 'changed' };
    assert.equal((await identity.updateServiceId(update)).result.description, 'changed');
    await refused(identity.updateServiceId(update), 409);
    assert.equal((await identity.lockServiceId({ id: service.id })).status, 204);
    const locked = (await identity.getServiceId({ id: service.id })).result;
    assert.equal(locked.locked, true);
    await refused(identity.updateServiceId({ ...update, ifMatch: locked.entity_tag }), 409);
    await refused(identity.deleteServiceId({ id: service.id }), 409);
    assert.equal((await identity.unlockServiceId({ id: service.id })).status, 204);
    assert.equal((await identity.deleteServiceId({ id: service.id })).status, 204);
    await refused(identity.getServiceId({ id: service.id }), 404);
  });

  it('list by exact name and in pages of one', async (t) => {
    const name = names();
    const made = [];
    for (const word of ['x', 'xx', 'xxx']) {
      made.push((await newServiceId(t, name(word))).id);
    }
    const { result } = await identity.listServiceIds({ accountId: settings.account, name: name('x') });
    assert.deepEqual(result.serviceids.map(({ id }) => id), [made[0]]);
    const filter = `name co "${name.part}"`;
    const found = await walkPages(
      (page) => identity.listServiceIds({ accountId: settings.account, filter, ...page }),
      'serviceids',
    );
    assert.deepEqual(found.map(({ id }) => id).sort(), made.sort());
  });

  it('group of service IDs', async (t) => {
    const name = names();
    const { result: group, status } = await identity.createServiceIdGroup({
      accountId: settings.account,
      name: name('group'),
    });
    undo(t, () => identity.deleteServiceIdGroup({ id: group.id }));
    assert.equal(status, 201);
    const update = { id: group.id, ifMatch: group.entity_tag, name: name('renamed') };
    assert.equal((await identity.updateServiceIdGroup(update)).result.name, name('renamed'));
    const listed = (await identity.listServiceIdGroup({ accountId: settings.account })).result.serviceid_groups;
    assert.ok(listed.some(({ id }) => id === group.id));
    assert.equal((await identity.deleteServiceIdGroup({ id: group.id })).status, 204);
  });
});

describe('API keys', () => {
  it('key has the published form and its value finds it', async (t) => {
    const service = await newServiceId(t);
    const key = await newApikey(t, service.iam_id);
    assert.match(key.id, /^ApiKey-/);
    assert.ok(key.apikey.length >= 32);
    assert.deepEqual([key.iam_id, key.account_id], [service.iam_id, settings.account]);
    assert.deepEqual([key.locked, key.disabled, key.support_sessions], [false, false, false]);
    assert.equal(key.action_when_leaked, 'disable');
    const found = (await identity.getApiKeysDetails({ iamApiKey: key.apikey })).result;
    assert.equal(found.id, key.id);
    assert.equal((await identity.getApiKey({ id: key.id })).result.apikey, '');
    const stored = await newApikey(t, service.iam_id, { storeValue: true });
    assert.equal((await identity.getApiKey({ id: stored.id })).result.apikey, stored.apikey);
  });

  it('disable, enable, lock, unlock, delete', async (t) => {
    const service = await newServiceId(t);
    const key = await newApikey(t, service.iam_id);
    const signIn = () => byApikey(key.apikey).bearer();
    assert.ok(await signIn());
    assert.equal((await identity.disableApiKey({ id: key.id })).status, 204);
    await refused(signIn(), 400, 'BXNIM0482E');
    assert.equal((await identity.enableApiKey({ id: key.id })).status, 204);
    assert.equal((await identity.lockApiKey({ id: key.id })).status, 204);
    assert.ok(await signIn());
    const { entity_tag: ifMatch, locked } = (await identity.getApiKey({ id: key.id })).result;
    assert.equal(locked, true);
    await refused(identity.updateApiKey({ id: key.id, ifMatch, description: 'no' }), 409);
    await refused(identity.deleteApiKey({ id: key.id }), 409);
    assert.equal((await identity.unlockApiKey({ id: key.id })).status, 204);
    assert.equal((await identity.deleteApiKey({ id: key.id })).status, 204);
    await refused(signIn(), 400, 'BXNIM0415E');
  });

  it('update wants the last revision; history and activity', async (t) => {
    const service = await newServiceId(t);
    const key = await newApikey(t, service.iam_id);
    const update = { id: key.id, ifMatch: key.entity_tag, expiresAt: '2049-01-02T18:30:00+0000' };
    assert.equal((await identity.updateApiKey(update)).result.expires_at, '2049-01-02T18:30+0000');
    await refused(identity.updateApiKey(update), 409);
    await byApikey(key.apikey).bearer();
    const { result } = await identity.getApiKey({ id: key.id, includeHistory: true, includeActivity: true });
    assert.ok(result.history.length >= 2);
    assert.equal(result.activity.authn_count, 1);
  });

  it('list is walked with pages of one', async (t) => {
    const service = await newServiceId(t);
    const made = [];
    for (let count = 0; count < 3; count += 1) {
      made.push((await newApikey(t, service.iam_id)).id);
    }
    const found = await walkPages(
      (page) => identity.listApiKeys({ accountId: settings.account, iamId: service.iam_id, ...page }),
      'apikeys',
    );
    assert.deepEqual(found.map(({ id }) => id).sort(), made.sort());
  });
});

describe('account', () => {
  it('settings carry a history and update in part', async (t) => {
    const { result: before } = await identity.getAccountSettings({ accountId: settings.account });
    assert.ok(Array.isArray(before.history));
    const put = (ifMatch, more) => identity.updateAccountSettings({ accountId: settings.account, ifMatch, ...more });
    undo(t, () =>
      put('*', {
        sessionInvalidationInSeconds: before.session_invalidation_in_seconds,
        restrictUserDomains: before.restrict_user_domains,
      }),
    );
    const restrictUserDomains = [
      { realm_id: 'IBMid', invitation_email_allow_patterns: ['*.*@company.test'], restrict_invitation: true },
    ];
    const { result } = await put(before.entity_tag, { sessionInvalidationInSeconds: '7200', restrictUserDomains });
    assert.equal(result.session_invalidation_in_seconds, '7200');
    assert.deepEqual(result.restrict_user_domains, restrictUserDomains);
    assert.equal(result.mfa, before.mfa);
    await refused(put(before.entity_tag, { mfa: 'NONE' }), 409);
    const effective = (await identity.getEffectiveAccountSettings({ accountId: settings.account })).result;
    assert.equal(effective.effective.session_invalidation_in_seconds, '7200');
  });
});
