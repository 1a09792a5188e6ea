// A module of its own, so that the bundle loads it, and only what is used of it, when it is first needed.
export { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
