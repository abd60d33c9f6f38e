// The published clients, unmodified, pointed at one server; and things that most tests need.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { ContainerAuthenticator, IamAssumeAuthenticator, IamAuthenticator } from 'ibm-cloud-sdk-core';
import IamIdentityV1 from '@ibm-cloud/platform-services/iam-identity/v1.js';
import IamPolicyManagementV1 from '@ibm-cloud/platform-services/iam-policy-management/v1.js';
import IamAccessGroupsV2 from '@ibm-cloud/platform-services/iam-access-groups/v2.js';
import ResourceControllerV2 from '@ibm-cloud/platform-services/resource-controller/v2.js';
import ResourceManagerV2 from '@ibm-cloud/platform-services/resource-manager/v2.js';

import { SecretsManagerV2 } from './secrets-manager.js';
import { settings } from './settings.js';
import { Cluster } from './workload.js';

export { settings, IamPolicyManagementV1, IamAccessGroupsV2, ResourceControllerV2 };

export const PLAN = {
  secretsManager: '7713c3a8-3be8-4a9a-81bb-ee822fcaac3d',
  plain: '00000000-0000-4000-8000-00000000a001',
  reclamation: '00000000-0000-4000-8000-00000000a002',
};

export const ROLE = {
  secretsReader: 'crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader',
  reader: 'crn:v1:bluemix:public:iam::::serviceRole:Reader',
  viewer: 'crn:v1:bluemix:public:iam::::role:Viewer',
  editor: 'crn:v1:bluemix:public:iam::::role:Editor',
  operator: 'crn:v1:bluemix:public:iam::::role:Operator',
};

export const NOT_ELIGIBLE = 'Selected trusted profile not eligible.';

export class Clients {
  constructor(authenticator) {
    const options = { authenticator, serviceUrl: settings.url };
    this.authenticator = authenticator;
    this.identity = new IamIdentityV1(options);
    this.policies = new IamPolicyManagementV1(options);
    this.groups = new IamAccessGroupsV2(options);
    this.resources = new ResourceControllerV2(options);
    this.resourceGroups = new ResourceManagerV2(options);
  }

  secrets(instance) {
    return new SecretsManagerV2({ authenticator: this.authenticator, serviceUrl: secretsUrl(instance) });
  }

  bearer() {
    return this.authenticator.tokenManager.getToken();
  }
}

export const secretsUrl = (instance) => `${settings.url}/secrets-manager/${instance}`;
export const byApikey = (apikey) => new Clients(new IamAuthenticator({ apikey, url: settings.url }));
export const byTokenFile = (crTokenFilename, profile) =>
  new Clients(new ContainerAuthenticator({ crTokenFilename, url: settings.url, ...profile }));
export const assuming = (apikey, profile) =>
  new Clients(new IamAssumeAuthenticator({ apikey, url: settings.url, ...profile }));

export const owner = byApikey(settings.apikey);

/** Makes fresh names; all names of one test share a random part, so that lists can be narrowed to them. */
export function names() {
  const part = randomBytes(5).toString('hex');
  const make = (word = 'thing') => `interop-${part}-${word}`;
  make.part = part;
  return make;
}

const stacks = new WeakMap();

/** Runs a clean-up call after the test, last first; what the test removed by itself is no error. */
export function undo(t, call) {
  if (!stacks.has(t)) {
    stacks.set(t, []);
    t.after(() => unwind(stacks.get(t)));
  }
  stacks.get(t).push(call);
}

async function unwind(calls) {
  for (const call of calls.reverse()) {
    try {
      await call();
    } catch (error) {
      if (error.status !== 404 && error.status !== 410) {
        throw error;
      }
    }
  }
}

/** The answer must be a refusal with this status and, if given, code and message. */
export async function refused(promise, status, code, message) {
  let error;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  assert.ok(error, `expected ${status}, but the call succeeded`);
  assert.equal(error.status, status, `${error.message} ${bodyText(error)}`);
  if (code) {
    assert.equal(errorCode(error), code, bodyText(error));
  }
  if (message) {
    assert.equal(error.message, message);
  }
  return error;
}

function bodyText(error) {
  const body = error.result ?? error.body;
  return typeof body === 'string' ? body : JSON.stringify(body);
}

export function errorBody(error) {
  return JSON.parse(bodyText(error));
}

function errorCode(error) {
  const body = errorBody(error);
  const first = body.errors?.[0];
  return first?.message_code ?? first?.code ?? body.errorCode ?? body.error_code;
}

export const attribute = (key, value, operator = 'stringEquals') => ({ key, operator, value });

/** Arguments of `createV2Policy`: one role for one subject on one Secrets Manager instance or a part of it. */
export function policyOnInstance(subject, role, instance, resource = {}) {
  const attributes = { accountId: settings.account, serviceName: 'secrets-manager', serviceInstance: instance, ...resource };
  return {
    type: 'access',
    control: { grant: { roles: [{ role_id: role }] } },
    subject: { attributes: Object.entries(subject).map(([key, value]) => attribute(key, value)) },
    resource: { attributes: Object.entries(attributes).map(([key, value]) => attribute(key, value)) },
  };
}

export async function grant(t, iamId, role, instance, resource) {
  const { result } = await owner.policies.createV2Policy(policyOnInstance({ iam_id: iamId }, role, instance, resource));
  undo(t, () => owner.policies.deleteV2Policy({ id: result.id }));
  return result;
}

// Things with a life of one test.

export async function newProfile(t, name = names()('profile')) {
  const { result } = await owner.identity.createProfile({ name, accountId: settings.account });
  undo(t, () => owner.identity.deleteProfile({ profileId: result.id }));
  return result;
}

export async function newServiceId(t, name = names()('service')) {
  const { result } = await owner.identity.createServiceId({ name, accountId: settings.account });
  undo(t, () => owner.identity.deleteServiceId({ id: result.id }));
  return result;
}

export async function newApikey(t, iamId, more = {}) {
  const { result } = await owner.identity.createApiKey({ name: names()('key'), iamId, ...more });
  undo(t, () => owner.identity.deleteApiKey({ id: result.id }));
  return result;
}

export async function newCluster(t, name = names()('cluster'), issuer = undefined) {
  const cluster = await new Cluster(name, issuer).register(settings.url, await owner.bearer());
  undo(t, async () => cluster.remove(settings.url, await owner.bearer()));
  return cluster;
}

export async function newSecret(t, vault, prototype = {}) {
  const name = names();
  const secretPrototype = { secret_type: 'arbitrary', name: name('secret'), payload: `of ${name.part}`, ...prototype };
  const { result } = await vault.createSecret({ secretPrototype });
  undo(t, () => vault.deleteSecret({ id: result.id }));
  return result;
}

/** One Secrets Manager instance for a file of tests; the caller deletes it. */
export async function newInstance() {
  const { result } = await owner.resources.createResourceInstance({
    name: names()('vault'),
    target: settings.region,
    resourceGroup: settings.resourceGroup,
    resourcePlanId: PLAN.secretsManager,
  });
  return {
    guid: result.guid,
    vault: owner.secrets(result.guid),
    remove: () => owner.resources.deleteResourceInstance({ id: result.guid }),
  };
}

/** Walks an identity list by `pagetoken`, one object a page. */
export async function walkPages(call, key) {
  const found = [];
  let pagetoken;
  for (let page = 0; page < 20; page += 1) {
    const { result } = await call({ pagesize: 1, ...(pagetoken && { pagetoken }) });
    assert.ok(result[key].length <= 1);
    found.push(...result[key]);
    if (result.next === undefined) {
      return found;
    }
    pagetoken = new URL(result.next, settings.url).searchParams.get('pagetoken');
  }
  throw new Error('the list does not end');
}
