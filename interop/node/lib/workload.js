// A made-up cluster: signs service-account tokens as an API server does and is registered by its public keys.

import { createHash, createPublicKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import assert from 'node:assert/strict';

export function generateKey() {
  return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
}

/** The `kid` that Kubernetes gives a key read from a file: hash of the SubjectPublicKeyInfo. */
export function keyId(key) {
  const der = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(der).digest('base64url');
}

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

export class Cluster {
  constructor(name, issuer = `https://${name}.clusters.test`) {
    this.name = name;
    this.issuer = issuer;
    this.key = generateKey();
  }

  get jwks() {
    const { n, e } = createPublicKey(this.key).export({ format: 'jwk' });
    return { keys: [{ kty: 'RSA', n, e, use: 'sig', alg: 'RS256', kid: keyId(this.key) }] };
  }

  async register(url, bearer) {
    const answer = await fetch(`${url}/avouch/v1/clusters`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${bearer}` },
      body: JSON.stringify({ name: this.name, cr_type: 'IKS_SA', issuer: this.issuer, jwks: this.jwks }),
    });
    assert.equal(answer.status, 201, await answer.clone().text());
    const record = await answer.json();
    this.id = record.id;
    this.crn = record.crn;
    return this;
  }

  async remove(url, bearer) {
    await fetch(`${url}/avouch/v1/clusters/${this.id}`, {
      method: 'DELETE',
      headers: { Authorization: `Bearer ${bearer}` },
    });
  }

  claims({ namespace = 'team-a', serviceAccount = 'reader', pod = 'reader-0', lifetime = 3600, ...more } = {}) {
    const now = Math.floor(Date.now() / 1000);
    return {
      iss: this.issuer,
      sub: `system:serviceaccount:${namespace}:${serviceAccount}`,
      aud: ['iam'],
      iat: now,
      nbf: now,
      exp: now + lifetime,
      jti: randomUUID(),
      'kubernetes.io': {
        namespace,
        serviceaccount: { name: serviceAccount, uid: randomUUID() },
        pod: { name: pod, uid: randomUUID() },
      },
      ...more,
    };
  }

  sign(claims, key = this.key) {
    const input = `${part({ alg: 'RS256', kid: keyId(key) })}.${part(claims)}`;
    return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
  }

  token(options) {
    return this.sign(this.claims(options));
  }
}

/** Writes the token where a projected volume would show it; removed after the test. */
export function tokenFile(t, token) {
  const folder = mkdtempSync(join(tmpdir(), 'avouch-interop-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'sa-token');
  writeFileSync(path, token);
  return path;
}

export function unverified(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
}
