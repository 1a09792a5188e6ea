/** The table's attributes that DynamoDB itself must know of. */
export const TABLE_KEY = 'shard';
export const TTL_ATTRIBUTE = 'expires_at';
