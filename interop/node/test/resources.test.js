// Service instances, keys, aliases, reclamation; resource groups.

import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { PLAN, ResourceControllerV2, byApikey, names, newSecret, owner, refused, settings, undo } from '../lib/world.js';

const { resources, resourceGroups } = owner;
const ABSENT = '00000000-0000-4000-8000-00000000dead';

async function newThing(t, more = {}) {
  const answer = await resources.createResourceInstance({
    name: names()('plain'),
    target: 'global',
    resourceGroup: settings.resourceGroup,
    resourcePlanId: PLAN.plain,
    ...more,
  });
  undo(t, () => resources.deleteResourceInstance({ id: answer.result.guid }));
  return answer;
}

const state = async (guid) => (await resources.getResourceInstance({ id: guid })).result.state;

async function until(guid, wanted) {
  for (let tries = 0; tries < 75; tries += 1) {
    if ((await state(guid)) === wanted) {
      return;
    }
    await sleep(200);
  }
  assert.equal(await state(guid), wanted);
}

async function reclamation(guid) {
  const params = { accountId: settings.account, resourceInstanceId: guid };
  const { resources: rows } = (await resources.listReclamations(params)).result;
  assert.equal(rows.length, 1);
  return rows[0];
}

describe('instances', () => {
  it('new instance has the published form and two names', async (t) => {
    const { result, status } = await newThing(t, { parameters: { hello: 'bye' } });
    assert.equal(status, 201);
    assert.equal(result.id, result.crn);
    assert.equal(result.account_id, settings.account);
    assert.equal(result.resource_group_id, settings.resourceGroup);
    assert.deepEqual([result.state, result.locked], ['active', false]);
    const { type, async: later, state: done } = result.last_operation;
    assert.deepEqual([type, later, done], ['create', false, 'succeeded']);
    for (const id of [result.guid, result.crn]) {
      assert.equal((await resources.getResourceInstance({ id })).result.guid, result.guid);
    }
  });

  it('update, lock, unlock', async (t) => {
    const { guid: id } = (await newThing(t)).result;
    const renamed = (await resources.updateResourceInstance({ id, name: names()('renamed') })).result;
    assert.equal(renamed.last_operation.type, 'update');
    assert.equal((await resources.lockResourceInstance({ id })).result.locked, true);
    await refused(resources.updateResourceInstance({ id, name: 'no' }), 422);
    await refused(resources.deleteResourceInstance({ id }), 422);
    const unlocked = (await resources.unlockResourceInstance({ id })).result;
    assert.deepEqual([unlocked.locked, unlocked.last_operation.type], [false, 'unlock']);
  });

  it('removed instance stays readable and hidden', async (t) => {
    const { guid: id } = (await newThing(t)).result;
    assert.equal((await resources.deleteResourceInstance({ id })).status, 204);
    assert.equal(await state(id), 'removed');
    assert.deepEqual((await resources.listResourceInstances({ guid: id })).result.resources, []);
    await refused(resources.deleteResourceInstance({ id }), 410);
    const message = 'The instance is not cancelable.';
    await refused(resources.cancelLastopResourceInstance({ id }), 422, undefined, message);
    await refused(resources.getResourceInstance({ id: ABSENT }), 404);
  });

  it('pager walks pages of one', async (t) => {
    const name = names()('same');
    const made = [];
    for (let count = 0; count < 3; count += 1) {
      made.push((await newThing(t, { name })).result.guid);
    }
    const pager = new ResourceControllerV2.ResourceInstancesPager(resources, { name, limit: 1 });
    assert.deepEqual((await pager.getAll()).map(({ guid }) => guid).sort(), made.sort());
  });

  it('reclamation: scheduled, restored, reclaimed', async (t) => {
    const { guid: id } = (await newThing(t, { resourcePlanId: PLAN.reclamation })).result;
    await resources.deleteResourceInstance({ id });
    await until(id, 'pending_reclamation');
    const act = async (actionName) =>
      (await resources.runReclamationAction({ id: (await reclamation(id)).id, actionName })).result.state;
    assert.equal((await reclamation(id)).state, 'SCHEDULED');
    assert.equal(await act('restore'), 'RESTORING');
    await until(id, 'active');
    await resources.deleteResourceInstance({ id });
    await until(id, 'pending_reclamation');
    assert.equal(await act('reclaim'), 'RECLAIMING');
    await until(id, 'removed');
  });
});

describe('resource groups', () => {
  it('group lives through create, rename, delete', async (t) => {
    const name = names();
    const create = { name: name('group'), accountId: settings.account };
    const { result, status } = await resourceGroups.createResourceGroup(create);
    undo(t, () => resourceGroups.deleteResourceGroup({ id: result.id }));
    assert.equal(status, 201);
    assert.deepEqual(Object.keys(result).sort(), ['crn', 'id']);
    const renamed = (await resourceGroups.updateResourceGroup({ id: result.id, name: name('renamed') })).result;
    assert.deepEqual([renamed.name, renamed.state], [name('renamed'), 'ACTIVE']);
    assert.equal((await resourceGroups.deleteResourceGroup({ id: result.id })).status, 204);
    await refused(resourceGroups.getResourceGroup({ id: result.id }), 404);
  });

  it('default group is complete and kept', async () => {
    const { result } = await resourceGroups.listResourceGroups({ accountId: settings.account });
    const group = result.resources.find((each) => each.default);
    assert.equal(group.id, settings.resourceGroup);
    for (const field of ['crn', 'account_id', 'name', 'state', 'quota_id', 'quota_url', 'created_at', 'updated_at']) {
      assert.ok(group[field], field);
    }
    await refused(resourceGroups.deleteResourceGroup({ id: group.id }), 400);
    assert.ok((await resourceGroups.listQuotaDefinitions()).result.resources.length > 0);
  });
});
