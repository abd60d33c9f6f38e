// Policies of both versions, custom roles, settings, access groups, and what they let a caller do.

import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import {
  IamAccessGroupsV2,
  IamPolicyManagementV1,
  ROLE,
  attribute,
  byApikey,
  grant,
  names,
  newApikey,
  newInstance,
  newProfile,
  newSecret,
  newServiceId,
  owner,
  policyOnInstance,
  refused,
  settings,
  undo,
} from '../lib/world.js';

const { policies, groups } = owner;
const UNKNOWN = '00000000-0000-4000-8000-00000000dead';

let instance;
before(async () => {
  instance = await newInstance();
});
after(() => instance?.remove());

/** IAM id of nobody: policies may name identities that do not exist. */
const user = () => `IBMid-${randomBytes(5).toString('hex').toUpperCase()}`;

const v1 = (iamId, role = ROLE.viewer) => ({
  type: 'access',
  subjects: [{ attributes: [{ name: 'iam_id', value: iamId }] }],
  roles: [{ role_id: role }],
  resources: [
    {
      attributes: [
        { name: 'accountId', value: settings.account },
        { name: 'serviceType', value: 'service' },
      ],
      tags: [{ name: 'project', value: 'prototype', operator: 'stringEquals' }],
    },
  ],
});

const v2 = (iamId, role = ROLE.viewer, more = {}) => ({
  type: 'access',
  control: { grant: { roles: [{ role_id: role }] } },
  subject: { attributes: [attribute('iam_id', iamId)] },
  resource: { attributes: [attribute('accountId', settings.account), attribute('serviceType', 'service')] },
  ...more,
});

const workingHours = {
  pattern: 'time-based-conditions:weekly:custom-hours',
  rule: {
    operator: 'and',
    conditions: [
      attribute('{{environment.attributes.day_of_week}}', ['1+00:00', '2+00:00', '3+00:00'], 'dayOfWeekAnyOf'),
      attribute('{{environment.attributes.current_time}}', '09:00:00+00:00', 'timeGreaterThanOrEquals'),
      attribute('{{environment.attributes.current_time}}', '17:00:00+00:00', 'timeLessThanOrEquals'),
    ],
  },
};

async function newPolicy(t, body) {
  const answer = await policies.createPolicy(body);
  undo(t, () => policies.deletePolicy({ policyId: answer.result.id }));
  return answer;
}

async function newV2Policy(t, body) {
  const answer = await policies.createV2Policy(body);
  undo(t, () => policies.deleteV2Policy({ id: answer.result.id }));
  return answer;
}

describe('policies, version 1', () => {
  it('document comes back as it was sent', async (t) => {
    const sent = v1(user());
    const { result, status, headers } = await newPolicy(t, sent);
    assert.equal(status, 201);
    assert.deepEqual(result.subjects, sent.subjects);
    assert.deepEqual(result.resources, sent.resources);
    assert.equal(result.state, 'active');
    const read = await policies.getPolicy({ policyId: result.id });
    assert.equal(read.headers.etag, headers.etag);
    assert.deepEqual(read.result.resources, sent.resources);
  });

  it('replace wants the last revision; deleted policy is restored', async (t) => {
    const sent = v1(user());
    const { result, headers } = await newPolicy(t, sent);
    const replace = { ...sent, policyId: result.id, ifMatch: headers.etag, roles: [{ role_id: ROLE.editor }] };
    const replaced = await policies.replacePolicy(replace);
    assert.equal(replaced.result.roles[0].role_id, ROLE.editor);
    await refused(policies.replacePolicy(replace), 409, 'policy_conflict_error');
    assert.equal((await policies.deletePolicy({ policyId: result.id })).status, 204);
    const { headers: last } = await policies.getPolicy({ policyId: result.id });
    const restore = { policyId: result.id, ifMatch: last.etag, state: 'active' };
    assert.equal((await policies.updatePolicyState(restore)).result.state, 'active');
  });

  it('same policy twice is a conflict; unknown is not found; unknown role is refused', async (t) => {
    const sent = v1(user());
    await newPolicy(t, sent);
    await refused(policies.createPolicy(sent), 409, 'policy_conflict_error');
    const missing = `Policy with Id ${UNKNOWN} not found.`;
    await refused(policies.getPolicy({ policyId: UNKNOWN }), 404, 'policy_not_found', missing);
    const role = 'crn:v1:bluemix:public:iam::::role:NoSuchRole';
    await refused(policies.createPolicy(v1(user(), role)), 400, 'invalid_body');
  });

  it('pager walks pages of one', async (t) => {
    const iamId = user();
    for (const role of [ROLE.viewer, ROLE.editor, ROLE.operator]) {
      await newPolicy(t, v1(iamId, role));
    }
    const pager = new IamPolicyManagementV1.PoliciesPager(policies, { accountId: settings.account, iamId, limit: 1 });
    let found = 0;
    while (pager.hasNext()) {
      const page = await pager.getNext();
      assert.ok(page.length <= 1);
      found += page.length;
    }
    assert.equal(found, 3);
  });
});

describe('policies, version 2', () => {
  it('document with a time condition comes back as it was sent', async (t) => {
    const sent = v2(user(), ROLE.viewer, workingHours);
    const { result, status, headers } = await newV2Policy(t, sent);
    assert.equal(status, 201);
    for (const part of ['subject', 'resource', 'pattern', 'rule', 'control']) {
      assert.deepEqual(result[part], sent[part], part);
    }
    const read = await policies.getV2Policy({ id: result.id });
    assert.equal(read.headers.etag, headers.etag);
    const replace = { ...v2(sent.subject.attributes[0].value), id: result.id, ifMatch: headers.etag };
    assert.equal((await policies.replaceV2Policy(replace)).result.rule, undefined);
    await refused(policies.replaceV2Policy(replace), 409, 'policy_conflict_error');
  });

  it('first version lists it as a placeholder', async (t) => {
    const iamId = user();
    const { result } = await newV2Policy(t, v2(iamId, ROLE.viewer, workingHours));
    const listed = (await policies.listPolicies({ accountId: settings.account, iamId })).result.policies;
    assert.deepEqual(listed.map(({ id }) => id), [result.id]);
    assert.match(listed[0].href, /v2\/policies/);
  });

  it('unfit documents are 400', async () => {
    for (const change of [
      { rule: workingHours.rule },
      { pattern: 'no-such-pattern', rule: workingHours.rule },
      { resource: { attributes: [attribute('accountId', 'x', 'stringLike')] } },
      { control: { grant: { roles: [] } } },
    ]) {
      await refused(policies.createV2Policy(v2(user(), ROLE.viewer, change)), 400, 'invalid_body');
    }
  });

  it('pager walks pages of one', async (t) => {
    const iamId = user();
    for (const role of [ROLE.viewer, ROLE.editor, ROLE.operator]) {
      await newV2Policy(t, v2(iamId, role));
    }
    const pager = new IamPolicyManagementV1.V2PoliciesPager(policies, { accountId: settings.account, iamId, limit: 1 });
    assert.equal(new Set((await pager.getAll()).map(({ id }) => id)).size, 3);
  });

  it('deleted policy permits nothing any more', async (t) => {
    const service = await newServiceId(t);
    const { apikey } = await newApikey(t, service.iam_id);
    const secret = await newSecret(t, instance.vault);
    const vault = byApikey(apikey).secrets(instance.guid);
    const policy = await grant(t, service.iam_id, ROLE.secretsReader, instance.guid);
    assert.equal((await vault.getSecret({ id: secret.id })).status, 200);
    await policies.deleteV2Policy({ id: policy.id });
    await refused(vault.getSecret({ id: secret.id }), 403);
  });
});

describe('roles and settings', () => {
  it('roles of account management hold the published ones', async () => {
    const { result } = await policies.listRoles({ serviceGroupId: 'IAM' });
    assert.deepEqual(result.custom_roles, []);
    assert.ok(result.system_roles.some(({ crn }) => crn === ROLE.viewer));
    const creator = 'crn:v1:bluemix:public:iam-identity::::serviceRole:ServiceIdCreator';
    assert.ok(result.service_roles.some(({ crn }) => crn === creator));
  });

  it('custom role lives through create, list, replace, delete', async (t) => {
    const word = `Interop${randomBytes(4).toString('hex')}`;
    const actions = ['iam-groups.groups.read'];
    const base = { name: word, displayName: word, accountId: settings.account, serviceName: 'iam-groups', actions };
    const { result: role, status, headers } = await policies.createRole(base);
    undo(t, () => policies.deleteRole({ roleId: role.id }));
    assert.equal(status, 201);
    assert.ok(role.crn.endsWith(`:a/${settings.account}::customRole:${word}`));
    const listed = await policies.listRoles({ accountId: settings.account, serviceName: 'iam-groups' });
    assert.ok(listed.result.custom_roles.some(({ id }) => id === role.id));
    const replace = { roleId: role.id, ifMatch: headers.etag, displayName: `Other ${word}`, actions };
    assert.equal((await policies.replaceRole(replace)).result.display_name, `Other ${word}`);
    await refused(policies.replaceRole(replace), 409, 'role_conflict_error');
    assert.equal((await policies.deleteRole({ roleId: role.id })).status, 204);
    await refused(policies.getRole({ roleId: role.id }), 404, 'role_not_found');
    await refused(policies.createRole({ ...base, name: 'lower' }), 400, 'invalid_body');
  });

  it('settings of external identities have all three types', async () => {
    const { result, headers } = await policies.getSettings({ accountId: settings.account });
    assert.ok(headers.etag);
    const types = result.external_account_identity_interaction.identity_types;
    assert.deepEqual(Object.keys(types).sort(), ['service', 'service_id', 'user']);
  });
});

describe('access groups', () => {
  async function newGroup(t, name = names()('group')) {
    const answer = await groups.createAccessGroup({ accountId: settings.account, name });
    undo(t, () => groups.deleteAccessGroup({ accessGroupId: answer.result.id, force: true }));
    return { ...answer.result, etag: answer.headers.etag };
  }

  it('group lives through create, update, delete', async (t) => {
    const group = await newGroup(t);
    assert.match(group.id, /^AccessGroupId-/);
    assert.equal(group.description, '');
    const update = { accessGroupId: group.id, ifMatch: group.etag, description: 'changed' };
    assert.equal((await groups.updateAccessGroup(update)).result.description, 'changed');
    await refused(groups.updateAccessGroup(update), 409);
    await refused(groups.createAccessGroup({ accountId: settings.account, name: group.name }), 409);
    assert.equal((await groups.deleteAccessGroup({ accessGroupId: group.id })).status, 204);
    await refused(groups.getAccessGroup({ accessGroupId: group.id }), 404);
  });

  it('members are added, listed in pages of one, checked and removed', async (t) => {
    const group = await newGroup(t);
    const profile = await newProfile(t);
    const service = await newServiceId(t);
    const someone = user();
    const members = [
      { iam_id: someone, type: 'user' },
      { iam_id: service.iam_id, type: 'service' },
      { iam_id: profile.iam_id, type: 'profile' },
    ];
    for (let round = 0; round < 2; round += 1) {
      const added = await groups.addMembersToAccessGroup({ accessGroupId: group.id, members });
      assert.equal(added.status, 207);
      assert.deepEqual(added.result.members.map((each) => each.status_code), [200, 200, 200]);
    }
    const pager = new IamAccessGroupsV2.AccessGroupMembersPager(groups, { accessGroupId: group.id, limit: 1 });
    assert.equal((await pager.getAll()).length, 3);
    const someoneIn = { accessGroupId: group.id, iamId: someone };
    assert.equal((await groups.isMemberOfAccessGroup(someoneIn)).status, 204);
    assert.equal((await groups.removeMemberFromAccessGroup(someoneIn)).status, 204);
    await refused(groups.isMemberOfAccessGroup(someoneIn), 404);
    const none = { accessGroupId: group.id, members: [someone] };
    const error = await refused(groups.removeMembersFromAccessGroup(none), 404);
    assert.match(error.message, new RegExp(group.id));
    await refused(groups.deleteAccessGroup({ accessGroupId: group.id }), 400);
  });

  it('member of several groups', async (t) => {
    const both = [(await newGroup(t)).id, (await newGroup(t)).id];
    const someone = { accountId: settings.account, iamId: user() };
    const added = await groups.addMemberToMultipleAccessGroups({ ...someone, type: 'user', groups: both });
    assert.deepEqual([added.status, added.result.groups.length], [207, 2]);
    assert.equal((await groups.removeMemberFromAllAccessGroups(someone)).status, 207);
    const error = await refused(groups.removeMemberFromAllAccessGroups(someone), 404);
    assert.match(error.message, new RegExp(someone.iamId));
  });

  it('dynamic rule lives through create, replace, delete', async (t) => {
    const { id: accessGroupId } = await newGroup(t);
    const conditions = [{ claim: 'isManager', operator: 'EQUALS', value: 'true' }];
    const base = { accessGroupId, realmName: 'test realm', conditions };
    const { result, status, headers } = await groups.addAccessGroupRule({ ...base, expiration: 24, name: 'managers' });
    assert.equal(status, 201);
    assert.deepEqual(result.conditions, conditions);
    const replace = { ...base, ruleId: result.id, ifMatch: headers.etag, expiration: 12 };
    assert.equal((await groups.replaceAccessGroupRule(replace)).result.expiration, 12);
    await refused(groups.replaceAccessGroupRule(replace), 409);
    assert.equal((await groups.listAccessGroupRules({ accessGroupId })).result.rules.length, 1);
    assert.equal((await groups.removeAccessGroupRule({ accessGroupId, ruleId: result.id })).status, 204);
  });

  it('groups are listed in pages of one with the public one hidden', async (t) => {
    const name = names();
    const made = [];
    for (const word of ['a', 'b', 'c']) {
      made.push((await newGroup(t, name(word))).id);
    }
    const params = { accountId: settings.account, limit: 1, hidePublicAccess: true };
    const listed = await new IamAccessGroupsV2.AccessGroupsPager(groups, params).getAll();
    const ids = listed.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    assert.ok(made.every((id) => ids.includes(id)));
    assert.ok(!ids.includes('AccessGroupId-PublicAccess'));
  });

  it('policy of the group is the right of its members until they leave', async (t) => {
    const group = await newGroup(t);
    const service = await newServiceId(t);
    const { apikey } = await newApikey(t, service.iam_id);
    const secret = await newSecret(t, instance.vault);
    const read = () => byApikey(apikey).secrets(instance.guid).getSecret({ id: secret.id });
    await newV2Policy(t, policyOnInstance({ access_group_id: group.id }, ROLE.secretsReader, instance.guid));
    await refused(read(), 403);
    const members = [{ iam_id: service.iam_id, type: 'service' }];
    await groups.addMembersToAccessGroup({ accessGroupId: group.id, members });
    assert.equal((await read()).status, 200);
    await groups.removeMemberFromAccessGroup({ accessGroupId: group.id, iamId: service.iam_id });
    await refused(read(), 403);
  });
});
