// The main job: workloads and service IDs sign in by the published authenticators and read a secret, or do not.

import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { getAuthenticatorFromEnvironment } from 'ibm-cloud-sdk-core';

import {
  NOT_ELIGIBLE,
  ROLE,
  Clients,
  assuming,
  byApikey,
  byTokenFile,
  errorBody,
  grant,
  newApikey,
  newCluster,
  newInstance,
  newProfile,
  newSecret,
  newServiceId,
  owner,
  refused,
  settings,
} from '../lib/world.js';
import { generateKey, tokenFile, unverified } from '../lib/workload.js';

let instance;
before(async () => {
  instance = await newInstance();
});
after(() => instance?.remove());

/** A cluster, and a profile linked to its `team-a`/`reader` which may read the instance's secrets. */
async function trusted(t, role = ROLE.secretsReader) {
  const cluster = await newCluster(t);
  const profile = await newProfile(t);
  const link = { crn: cluster.crn, namespace: 'team-a', name: 'reader' };
  await owner.identity.createLink({ profileId: profile.id, crType: 'IKS_SA', link });
  if (role) {
    await grant(t, profile.iam_id, role, instance.guid);
  }
  return { cluster, profile };
}

const read = (clients, secret) => clients.secrets(instance.guid).getSecret({ id: secret.id });

describe('container authenticator', () => {
  for (const selector of ['name', 'id']) {
    it(`linked service account reads the secret by profile ${selector}`, async (t) => {
      const { cluster, profile } = await trusted(t);
      const secret = await newSecret(t, instance.vault);
      const chosen = selector === 'name' ? { iamProfileName: profile.name } : { iamProfileId: profile.id };
      const { result, status } = await read(byTokenFile(tokenFile(t, cluster.token()), chosen), secret);
      assert.equal(status, 200);
      assert.equal(result.payload, secret.payload);
    });
  }

  it('is configured by environment variables and takes a token file that ends with a newline', async (t) => {
    const { cluster, profile } = await trusted(t);
    const variables = {
      INTEROP_NODE_AUTH_TYPE: 'container',
      INTEROP_NODE_AUTH_URL: settings.url,
      INTEROP_NODE_CR_TOKEN_FILENAME: tokenFile(t, `${cluster.token()}\n`),
      INTEROP_NODE_IAM_PROFILE_NAME: profile.name,
    };
    Object.assign(process.env, variables);
    t.after(() => Object.keys(variables).forEach((name) => delete process.env[name]));
    const secret = await newSecret(t, instance.vault);
    const { result } = await read(new Clients(getAuthenticatorFromEnvironment('interop-node')), secret);
    assert.equal(result.payload, secret.payload);
  });

  it('token names the profile and the pod', async (t) => {
    const { cluster, profile } = await trusted(t);
    const path = tokenFile(t, cluster.token({ pod: 'reader-7f9' }));
    const claims = unverified(await byTokenFile(path, { iamProfileId: profile.id }).bearer());
    assert.equal(claims.iam_id, profile.iam_id);
    assert.equal(claims.sub, profile.id);
    assert.equal(claims.sub_type, 'Profile');
    assert.equal(claims.account.bss, settings.account);
    assert.equal(claims.iss, `${settings.url}/identity`);
    assert.equal(claims.authn.iam_id, `crn-${cluster.crn}`);
    assert.equal(claims.authn.name, `${cluster.name}:team-a:reader:reader-7f9`);
  });

  it('other service account is refused and told which token and profile', async (t) => {
    const { cluster, profile } = await trusted(t);
    const path = tokenFile(t, cluster.token({ serviceAccount: 'writer', pod: 'writer-0' }));
    const call = byTokenFile(path, { iamProfileId: profile.id }).bearer();
    const error = await refused(call, 400, 'BXNIM0398E', NOT_ELIGIBLE);
    const details = errorBody(error).errorDetails;
    assert.match(details, new RegExp(`${cluster.name}:team-a:writer:writer-0`));
    assert.match(details, new RegExp(profile.id));
  });

  it('other namespace and unknown profile are refused alike', async (t) => {
    const { cluster, profile } = await trusted(t);
    const other = tokenFile(t, cluster.token({ namespace: 'team-b' }));
    await refused(byTokenFile(other, { iamProfileName: profile.name }).bearer(), 400, 'BXNIM0398E', NOT_ELIGIBLE);
    const good = tokenFile(t, cluster.token());
    const unknown = { iamProfileId: 'Profile-00000000-0000-4000-8000-00000000dead' };
    await refused(byTokenFile(good, unknown).bearer(), 400, 'BXNIM0398E', NOT_ELIGIBLE);
    await refused(byTokenFile(good, { iamProfileName: 'no-such' }).bearer(), 400, 'BXNIM0398E', NOT_ELIGIBLE);
  });

  for (const [what, change, code] of [
    ['lives too long', { lifetime: 3601 }, 'BXNIM0480E'],
    ['is for another audience', { aud: ['https://kubernetes.default.svc'] }, 'BXNIM0481E'],
    ['is expired', { iat: 1_600_000_000, nbf: 1_600_000_000, exp: 1_600_003_600 }, 'BXNIM0408E'],
    ['is of an unknown issuer', { iss: 'https://nobody.clusters.test' }, 'BXNIM0407E'],
  ]) {
    it(`token that ${what} is refused`, async (t) => {
      const { cluster, profile } = await trusted(t);
      const path = tokenFile(t, cluster.token(change));
      await refused(byTokenFile(path, { iamProfileId: profile.id }).bearer(), 400, code);
    });
  }

  it('signature of another key is refused', async (t) => {
    const { cluster, profile } = await trusted(t);
    const path = tokenFile(t, cluster.sign(cluster.claims(), generateKey()));
    await refused(byTokenFile(path, { iamProfileId: profile.id }).bearer(), 400, 'BXNIM0407E');
  });

  it('plain reader sees metadata but no payload', async (t) => {
    const { cluster, profile } = await trusted(t, ROLE.reader);
    const secret = await newSecret(t, instance.vault);
    const workload = byTokenFile(tokenFile(t, cluster.token()), { iamProfileId: profile.id });
    const { result } = await workload.secrets(instance.guid).getSecretMetadata({ id: secret.id });
    assert.equal(result.name, secret.name);
    await refused(read(workload, secret), 403);
  });

  it('claim rule over namespace and name admits', async (t) => {
    const cluster = await newCluster(t);
    const profile = await newProfile(t);
    await owner.identity.createClaimRule({
      profileId: profile.id,
      type: 'Profile-CR',
      crType: 'IKS_SA',
      conditions: [
        { claim: 'namespace', operator: 'EQUALS', value: '"team-c"' },
        { claim: 'name', operator: 'IN', value: '["batch","cron"]' },
      ],
    });
    const token = (serviceAccount) => tokenFile(t, cluster.token({ namespace: 'team-c', serviceAccount }));
    assert.ok(await byTokenFile(token('cron'), { iamProfileId: profile.id }).bearer());
    await refused(byTokenFile(token('web'), { iamProfileId: profile.id }).bearer(), 400, 'BXNIM0398E', NOT_ELIGIBLE);
  });

  it('removed link stops the next exchange, deleted profile stops its tokens', async (t) => {
    const { cluster, profile } = await trusted(t);
    const secret = await newSecret(t, instance.vault);
    const path = tokenFile(t, cluster.token());
    const workload = byTokenFile(path, { iamProfileId: profile.id });
    assert.equal((await read(workload, secret)).status, 200);
    const [link] = (await owner.identity.listLinks({ profileId: profile.id })).result.links;
    await owner.identity.deleteLink({ profileId: profile.id, linkId: link.id });
    await refused(byTokenFile(path, { iamProfileId: profile.id }).bearer(), 400, 'BXNIM0398E', NOT_ELIGIBLE);
    assert.equal((await read(workload, secret)).status, 200);
    await owner.identity.deleteProfile({ profileId: profile.id });
    await refused(read(workload, secret), 401);
  });

  it('two clusters with one issuer are told apart by key', async (t) => {
    const { cluster, profile } = await trusted(t);
    const twin = await newCluster(t, undefined, cluster.issuer);
    const as = (signer) => byTokenFile(tokenFile(t, signer.token()), { iamProfileId: profile.id }).bearer();
    await refused(as(twin), 400, 'BXNIM0398E', NOT_ELIGIBLE);
    assert.ok(await as(cluster));
  });
});

describe('API key authenticator', () => {
  it('key of a service ID acts as the service ID and reads what its policy allows', async (t) => {
    const service = await newServiceId(t);
    const { apikey } = await newApikey(t, service.iam_id);
    const secret = await newSecret(t, instance.vault);
    const clients = byApikey(apikey);
    const claims = unverified(await clients.bearer());
    assert.equal(claims.iam_id, service.iam_id);
    assert.equal(claims.sub, service.id);
    assert.deepEqual(claims.account, { valid: true, bss: settings.account, frozen: true });
    await refused(read(clients, secret), 403);
    await grant(t, service.iam_id, ROLE.secretsReader, instance.guid);
    assert.equal((await read(clients, secret)).result.payload, secret.payload);
  });

  it('unknown key is refused with 400', () =>
    refused(byApikey('not-a-key-of-anybody-0123456789abcdef').bearer(), 400, 'BXNIM0415E'));
});

describe('assume authenticator', () => {
  async function assumable(t) {
    const service = await newServiceId(t);
    const profile = await newProfile(t);
    const { apikey } = await newApikey(t, service.iam_id);
    await owner.identity.setProfileIdentity({
      profileId: profile.id,
      identityType: 'serviceid',
      identifier: service.id,
      type: 'serviceid',
    });
    return { service, profile, apikey };
  }

  for (const [by, select] of [
    ['id', (profile) => ({ iamProfileId: profile.id })],
    ['crn', (profile) => ({ iamProfileCrn: profile.crn })],
    ['name and account', (profile) => ({ iamProfileName: profile.name, iamAccountId: settings.account })],
  ]) {
    it(`service ID assumes the profile by ${by} and reads the secret`, async (t) => {
      const { service, profile, apikey } = await assumable(t);
      await grant(t, profile.iam_id, ROLE.secretsReader, instance.guid);
      const secret = await newSecret(t, instance.vault);
      const clients = assuming(apikey, select(profile));
      assert.equal((await read(clients, secret)).result.payload, secret.payload);
      const claims = unverified(await clients.bearer());
      assert.equal(claims.iam_id, profile.iam_id);
      assert.equal(claims.authn.iam_id, service.iam_id);
    });
  }

  it('service ID that is no identity of the profile is refused', async (t) => {
    const { apikey } = await assumable(t);
    const other = await newProfile(t);
    await refused(assuming(apikey, { iamProfileId: other.id }).bearer(), 400, 'BXNIM0398E', NOT_ELIGIBLE);
  });

  it('assumed profile has none of the rights of the service ID', async (t) => {
    const { service, profile, apikey } = await assumable(t);
    await grant(t, service.iam_id, ROLE.secretsReader, instance.guid);
    const secret = await newSecret(t, instance.vault);
    await refused(read(assuming(apikey, { iamProfileId: profile.id }), secret), 403);
  });
});
