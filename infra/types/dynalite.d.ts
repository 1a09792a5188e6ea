declare module 'dynalite' {
  import type { Server } from 'node:http';
  /** An HTTP server that speaks DynamoDB; without a path it keeps its tables in memory. */
  export default function dynalite(options?: { createTableMs?: number; path?: string }): Server;
}
