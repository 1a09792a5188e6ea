import type { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { KeptConnections } from '../kept-connections.ts';
import type { Counts } from '../log/counts.ts';
import type { Announcement } from '../trust/announcement.ts';
import { toTrustEvent } from './trust-event.ts';

export interface HostAnnouncement {
  readonly host: string;
  readonly announcement: Announcement;
}

/** EventBridge's limit on the events of one PutEvents. */
const EVENTS_PER_CALL = 10;
const CALLS_AT_ONCE = 5;
/** How long one call may take, an answer that stalls included. */
const CALL_MS = 1_500;

/** EventBridge, as far as it is told of hosts. */
export class EventBus {
  readonly #name: string;
  readonly #counts: Counts;
  #client: EventBridgeClient | undefined;

  constructor(name: string, counts: Counts) {
    this.#name = name;
    this.#counts = counts;
  }

  /**
   * Sends announcements. Never rejects: what the bus did not take is counted, with the cause.
   * @returns those that the bus took
   */
  async send<T extends HostAnnouncement>(announcements: readonly T[]): Promise<T[]> {
    const taken: T[] = [];
    for (let i = 0; i < announcements.length; i += EVENTS_PER_CALL * CALLS_AT_ONCE) {
      const calls: Promise<T[]>[] = [];
      for (let j = i; j < Math.min(i + EVENTS_PER_CALL * CALLS_AT_ONCE, announcements.length); j += EVENTS_PER_CALL) {
        calls.push(this.#put(announcements.slice(j, j + EVENTS_PER_CALL)));
      }
      taken.push(...(await Promise.all(calls)).flat());
    }
    return taken;
  }

  async #put<T extends HostAnnouncement>(batch: readonly T[]): Promise<T[]> {
    try {
      const { EventBridgeClient, PutEventsCommand } = await import('./event-bridge.ts');
      this.#client ??= new EventBridgeClient({
        maxAttempts: 2,
        requestHandler: new KeptConnections({
          connectionTimeout: 1_000,
          requestTimeout: CALL_MS,
          throwOnRequestTimeout: true,
        }),
      });
      const Entries = batch.map(({ host, announcement }) => ({
        ...toTrustEvent(host, announcement),
        EventBusName: this.#name,
      }));
      const abortSignal = AbortSignal.timeout(CALL_MS);
      const answer = await this.#client.send(new PutEventsCommand({ Entries }), { abortSignal });
      const codes = batch.map((_, i) => answer.Entries?.[i]?.ErrorCode);
      for (const code of codes) if (code !== undefined) this.#counts.fault('EventFaults', code);
      const taken = batch.filter((_, i) => codes[i] === undefined);
      for (const { announcement } of taken) {
        this.#counts.add(announcement.unknownSince === undefined ? 'TrustChanges' : 'UnknownAlarms');
      }
      return taken;
    } catch (error) {
      this.#counts.fault('EventFaults', error);
      return [];
    }
  }
}
