// Secrets Manager v2 over the published `BaseService`.
//
// The published package of this service offers only the first version of its API on the registry, so the calls of the
// second stand here. Names and parameters are those of the published client: it can take this file's place.

import { BaseService } from 'ibm-cloud-sdk-core';

const JSON_BODY = 'application/json';
const MERGE_PATCH = 'application/merge-patch+json';

// name: [method, path, parameters in the path, parameters in the query, body, content type]
const CALLS = {
  createSecretGroup: ['POST', '/secret_groups', [], [], ['name', 'description']],
  listSecretGroups: ['GET', '/secret_groups', [], []],
  getSecretGroup: ['GET', '/secret_groups/{id}', ['id'], []],
  updateSecretGroup: ['PATCH', '/secret_groups/{id}', ['id'], [], 'secretGroupPatch', MERGE_PATCH],
  deleteSecretGroup: ['DELETE', '/secret_groups/{id}', ['id'], []],
  createSecret: ['POST', '/secrets', [], [], 'secretPrototype'],
  listSecrets: [
    'GET',
    '/secrets',
    [],
    ['offset', 'limit', 'sort', 'search', 'groups', 'secretTypes', 'matchAllLabels'],
  ],
  getSecret: ['GET', '/secrets/{id}', ['id'], []],
  deleteSecret: ['DELETE', '/secrets/{id}', ['id'], ['forceDelete']],
  getSecretMetadata: ['GET', '/secrets/{id}/metadata', ['id'], []],
  updateSecretMetadata: ['PATCH', '/secrets/{id}/metadata', ['id'], [], 'secretMetadataPatch', MERGE_PATCH],
  getSecretByNameType: [
    'GET',
    '/secret_groups/{secretGroupName}/secret_types/{secretType}/secrets/{name}',
    ['secretGroupName', 'secretType', 'name'],
    [],
  ],
  createSecretVersion: ['POST', '/secrets/{secretId}/versions', ['secretId'], [], 'secretVersionPrototype'],
  listSecretVersions: ['GET', '/secrets/{secretId}/versions', ['secretId'], []],
  getSecretVersion: ['GET', '/secrets/{secretId}/versions/{id}', ['secretId', 'id'], []],
  getSecretVersionMetadata: ['GET', '/secrets/{secretId}/versions/{id}/metadata', ['secretId', 'id'], []],
  updateSecretVersionMetadata: [
    'PATCH',
    '/secrets/{secretId}/versions/{id}/metadata',
    ['secretId', 'id'],
    [],
    'secretVersionMetadataPatch',
    MERGE_PATCH,
  ],
  listSecretsLocks: ['GET', '/secrets_locks', [], ['offset', 'limit', 'search', 'groups']],
  listSecretLocks: ['GET', '/secrets/{id}/locks', ['id'], ['offset', 'limit', 'sort', 'search']],
  createSecretLocksBulk: ['POST', '/secrets/{id}/locks_bulk', ['id'], ['mode'], ['locks']],
  deleteSecretLocksBulk: ['DELETE', '/secrets/{id}/locks_bulk', ['id'], ['name']],
  listSecretVersionLocks: ['GET', '/secrets/{secretId}/versions/{id}/locks', ['secretId', 'id'], ['offset', 'limit']],
  deleteSecretVersionLocksBulk: ['DELETE', '/secrets/{secretId}/versions/{id}/locks_bulk', ['secretId', 'id'], ['name']],
};

const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const joined = (value) => (Array.isArray(value) ? value.join(',') : value);

export class SecretsManagerV2 extends BaseService {}

for (const [name, [method, path, inPath, inQuery, body, type = JSON_BODY]] of Object.entries(CALLS)) {
  SecretsManagerV2.prototype[name] = function call(params = {}) {
    const query = inQuery.filter((key) => params[key] !== undefined).map((key) => [snake(key), joined(params[key])]);
    const options = {
      url: `/api/v2${path}`,
      method,
      path: Object.fromEntries(inPath.map((key) => [key, params[key]])),
      qs: Object.fromEntries(query),
    };
    if (typeof body === 'string') {
      options.body = params[body];
    } else if (body) {
      options.body = Object.fromEntries(body.map((key) => [key, params[key]]));
    }
    const headers = { Accept: JSON_BODY, ...(body && { 'Content-Type': type }), ...params.headers };
    return this.createRequest({ options, defaultOptions: { ...this.baseOptions, headers } });
  };
}

/** Walks a paged list as the published pagers do: by the `offset` of `next.href`, until there is no `next`. */
export async function walk(call, key, params) {
  const found = [];
  let offset;
  for (;;) {
    const { result } = await call({ ...params, ...(offset !== undefined && { offset }) });
    found.push(...result[key]);
    if (!result.next) {
      return found;
    }
    offset = Number(new URL(result.next.href, 'http://base').searchParams.get('offset'));
  }
}
