// Where the server is and who owns its account, as `bootstrap.env` gives it in the environment.

const NAMES = ['AVOUCH_URL', 'ACCOUNT_ID', 'IAM_ID', 'IAM_APIKEY', 'REGION', 'RESOURCE_GROUP_ID'];
const missing = NAMES.filter((name) => !process.env[name]);
if (missing.length > 0) {
  throw new Error(`not set: ${missing.join(', ')}; start this suite with interop/run.sh`);
}

export const settings = {
  url: process.env.AVOUCH_URL.replace(/\/$/, ''),
  account: process.env.ACCOUNT_ID,
  owner: process.env.IAM_ID,
  apikey: process.env.IAM_APIKEY,
  region: process.env.REGION,
  resourceGroup: process.env.RESOURCE_GROUP_ID,
};
