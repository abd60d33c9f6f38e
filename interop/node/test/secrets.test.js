// Secrets of the simple types: life cycle, versions, locks, groups, lists, and who may see them.

import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';

import { ROLE, byApikey, grant, names, newApikey, newInstance, newSecret, newServiceId, refused, settings, undo } from '../lib/world.js';
import { walk } from '../lib/secrets-manager.js';

const ABSENT = '00000000-0000-4000-8000-00000000dead';
const LOCKED = "The requested action can't be completed because the secret version is locked.";

let instance;
let vault;
before(async () => {
  instance = await newInstance();
  vault = instance.vault;
});
after(() => instance?.remove());

async function newGroup(t, name = names()('group')) {
  const { result } = await vault.createSecretGroup({ name, description: 'of a test' });
  undo(t, () => vault.deleteSecretGroup({ id: result.id }));
  return result;
}

describe('groups', () => {
  it('group lives through create, update, delete; default is always there', async (t) => {
    const group = await newGroup(t);
    assert.equal(group.created_by, settings.owner);
    const secretGroupPatch = { name: group.name, description: 'changed' };
    const changed = (await vault.updateSecretGroup({ id: group.id, secretGroupPatch })).result;
    assert.equal(changed.description, 'changed');
    const ids = (await vault.listSecretGroups()).result.secret_groups.map(({ id }) => id);
    assert.ok(ids.includes('default') && ids.includes(group.id));
    const error = await refused(vault.createSecretGroup({ name: group.name }), 409);
    assert.match(error.message, /already exists/);
    await newSecret(t, vault, { secret_group_id: group.id });
    await refused(vault.deleteSecretGroup({ id: group.id }), 409);
    await refused(vault.getSecretGroup({ id: ABSENT }), 404);
  });
});

describe('types', () => {
  it('arbitrary', async (t) => {
    const secret = await newSecret(t, vault, {
      labels: ['dev', 'us south'],
      custom_metadata: { team: 'core' },
      version_custom_metadata: { ticket: 1 },
      expiration_date: '2048-01-01T00:00:00Z',
    });
    assert.deepEqual([secret.state, secret.state_description], [1, 'active']);
    assert.deepEqual([secret.versions_total, secret.locks_total, secret.downloaded], [1, 0, false]);
    assert.deepEqual(secret.labels, ['dev', 'us south']);
    assert.equal(secret.secret_group_id, 'default');
    assert.equal(secret.version_custom_metadata, undefined);
    const crn = `crn:v1:bluemix:public:secrets-manager:${settings.region}:a/${settings.account}:${instance.guid}:secret:${secret.id}`;
    assert.equal(secret.crn, crn);
    const { result } = await vault.getSecretMetadata({ id: secret.id });
    assert.equal(result.payload, undefined);
    const secretMetadataPatch = { description: 'changed', expiration_date: null };
    const patched = (await vault.updateSecretMetadata({ id: secret.id, secretMetadataPatch })).result;
    assert.deepEqual([patched.description, patched.expiration_date], ['changed', undefined]);
  });

  it('username and password, generated on rotation', async (t) => {
    const secret = await newSecret(t, vault, {
      secret_type: 'username_password',
      payload: undefined,
      username: 'app',
      password: 'correct horse battery',
      rotation: { auto_rotate: true, interval: 10, unit: 'day' },
      password_generation_policy: { length: 20, include_symbols: false },
    });
    assert.equal(secret.password, 'correct horse battery');
    assert.deepEqual(secret.rotation, { auto_rotate: true, interval: 10, unit: 'day' });
    assert.ok(secret.next_rotation_date);
    const rotated = await vault.createSecretVersion({ secretId: secret.id, secretVersionPrototype: {} });
    assert.match(rotated.result.password, /^[A-Za-z0-9]{20}$/);
    const plain = await newSecret(t, vault, { secret_type: 'username_password', payload: undefined, username: 'app' });
    assert.equal(plain.password.length, 32);
    assert.deepEqual(plain.rotation, { auto_rotate: false });
  });

  it('kv', async (t) => {
    const data = { key: 'value', deep: { list: [1, 2, { x: null }] } };
    const secret = await newSecret(t, vault, { secret_type: 'kv', payload: undefined, data });
    assert.deepEqual(secret.data, data);
    assert.deepEqual((await vault.getSecret({ id: secret.id })).result.data, data);
  });

  it('unfit prototypes are 400, a taken name is 409', async (t) => {
    const base = { secret_type: 'arbitrary', name: names()('bad'), payload: 'p' };
    for (const change of [{ payload: undefined }, { secret_type: 'something' }, { name: '-bad' }, { labels: ['x'] }]) {
      await refused(vault.createSecret({ secretPrototype: { ...base, ...change } }), 400);
    }
    const { name } = await newSecret(t, vault);
    const error = await refused(vault.createSecret({ secretPrototype: { ...base, name } }), 409);
    assert.match(error.message, /already exists/);
  });
});

describe('reading', () => {
  it('by id and by name; the read leaves its mark', async (t) => {
    const group = await newGroup(t);
    const secret = await newSecret(t, vault, { secret_group_id: group.id });
    const where = { secretType: 'arbitrary', name: secret.name, secretGroupName: group.name };
    assert.equal((await vault.getSecretByNameType(where)).result.payload, secret.payload);
    assert.equal((await vault.getSecretMetadata({ id: secret.id })).result.downloaded, true);
    await refused(vault.getSecretByNameType({ ...where, secretGroupName: 'default' }), 404);
    await refused(vault.getSecret({ id: ABSENT }), 404);
    assert.equal((await vault.deleteSecret({ id: secret.id })).status, 204);
    await refused(vault.getSecret({ id: secret.id }), 404);
  });
});

describe('versions', () => {
  it('rotation moves current to previous and drops what is older', async (t) => {
    const secret = await newSecret(t, vault);
    const rotate = (payload) =>
      vault.createSecretVersion({ secretId: secret.id, secretVersionPrototype: { payload } });
    const { result: second, status } = await rotate('second');
    assert.equal(status, 201);
    assert.deepEqual([second.alias, second.payload, second.payload_available], ['current', 'second', true]);
    const get = async (id) => (await vault.getSecretVersion({ secretId: secret.id, id })).result;
    assert.equal((await get('previous')).payload, secret.payload);
    await rotate('third');
    assert.equal((await get('current')).payload, 'third');
    const { versions, total_count: total } = (await vault.listSecretVersions({ secretId: secret.id })).result;
    assert.equal(total, 3);
    assert.deepEqual(versions.map((each) => each.alias), [undefined, 'previous', 'current']);
    assert.deepEqual(versions.map((each) => each.payload_available), [false, true, true]);
    const patch = { version_custom_metadata: { checked: true } };
    const update = { secretId: secret.id, id: 'current', secretVersionMetadataPatch: patch };
    const { result } = await vault.updateSecretVersionMetadata(update);
    assert.deepEqual(result.version_custom_metadata, { checked: true });
    const read = await vault.getSecretVersionMetadata({ secretId: secret.id, id: 'current' });
    assert.equal(read.result.payload, undefined);
  });
});

describe('locks', () => {
  it('lock stops delete and the second rotation until it moves on', async (t) => {
    const secret = await newSecret(t, vault);
    undo(t, () => vault.deleteSecretLocksBulk({ id: secret.id }));
    const lock = (mode) => vault.createSecretLocksBulk({ id: secret.id, locks: [{ name: 'web-1' }], mode });
    const { result, status } = await lock('remove_previous');
    assert.equal(status, 201);
    assert.deepEqual(result.versions[0].locks, ['web-1']);
    await refused(vault.deleteSecret({ id: secret.id }), 412, undefined, LOCKED);
    const rotate = () =>
      vault.createSecretVersion({ secretId: secret.id, secretVersionPrototype: { payload: 'new' } });
    assert.equal((await rotate()).status, 201);
    await refused(rotate(), 412, undefined, LOCKED);
    await lock('remove_previous_and_delete');
    const previous = (await vault.getSecretVersion({ secretId: secret.id, id: 'previous' })).result;
    assert.equal(previous.payload_available, false);
    assert.equal((await vault.deleteSecretLocksBulk({ id: secret.id })).status, 200);
  });

  it('locks are listed in pages of one and removed by name', async (t) => {
    const secret = await newSecret(t, vault);
    const locks = [{ name: 'lock-example-1', attributes: { key: 'value' } }, { name: 'lock-example-2' }];
    await vault.createSecretLocksBulk({ id: secret.id, locks });
    const listed = await walk((page) => vault.listSecretLocks(page), 'locks', { id: secret.id, limit: 1 });
    assert.deepEqual(listed.map(({ name }) => name).sort(), ['lock-example-1', 'lock-example-2']);
    const all = await walk((page) => vault.listSecretsLocks(page), 'secrets_locks', { limit: 1 });
    assert.ok(all.some((each) => each.secret_id === secret.id));
    assert.equal((await vault.deleteSecretLocksBulk({ id: secret.id, name: ['lock-example-1'] })).status, 200);
    const version = { secretId: secret.id, id: 'current' };
    const rest = { ...version, name: ['lock-example-1', 'lock-example-2'] };
    assert.equal((await vault.deleteSecretVersionLocksBulk(rest)).status, 200);
    assert.deepEqual((await vault.listSecretVersionLocks(version)).result.locks, []);
  });
});

describe('lists and access', () => {
  it('sorted, searched, by group, type and label', async (t) => {
    const name = names();
    const group = await newGroup(t);
    const made = [];
    for (const [word, label] of [['a', 'blue'], ['b', 'green'], ['c', 'blue']]) {
      const more = { name: name(word), labels: [label, name.part], secret_group_id: group.id };
      made.push((await newSecret(t, vault, more)).id);
    }
    const ids = async (params) => (await walk((page) => vault.listSecrets(page), 'secrets', params)).map(({ id }) => id);
    assert.deepEqual(await ids({ search: name.part, sort: 'name', limit: 1 }), made);
    assert.deepEqual(await ids({ search: name.part, sort: '-name', limit: 2 }), [...made].reverse());
    assert.deepEqual(await ids({ groups: [group.id, ABSENT], sort: 'name' }), made);
    assert.deepEqual(await ids({ secretTypes: ['kv'], search: name.part }), []);
    assert.deepEqual(await ids({ matchAllLabels: ['blue', name.part], sort: 'name' }), [made[0], made[2]]);
  });

  it('reader of one group sees nothing else', async (t) => {
    const name = names();
    const group = await newGroup(t);
    const service = await newServiceId(t);
    const { apikey } = await newApikey(t, service.iam_id);
    const inside = await newSecret(t, vault, { name: name('in'), secret_group_id: group.id });
    const outside = await newSecret(t, vault, { name: name('out') });
    const only = { resourceType: 'secret-group', resource: group.id };
    await grant(t, service.iam_id, ROLE.secretsReader, instance.guid, only);
    const reader = byApikey(apikey).secrets(instance.guid);
    assert.equal((await reader.getSecret({ id: inside.id })).result.payload, inside.payload);
    const hidden = await refused(reader.getSecret({ id: outside.id }), 404);
    const absent = await refused(reader.getSecret({ id: ABSENT }), 404);
    assert.equal(hidden.message.replace(outside.id, ABSENT), absent.message);
    const { result } = await reader.listSecrets({ search: name.part });
    assert.deepEqual([result.total_count, result.secrets[0].id], [1, inside.id]);
    const secretPrototype = { secret_type: 'arbitrary', name: name('no'), payload: 'p', secret_group_id: group.id };
    await refused(reader.createSecret({ secretPrototype }), 403);
    await refused(reader.deleteSecret({ id: inside.id }), 403);
  });
});
