import type { Announcement } from '../trust/announcement.ts';
import { announced } from '../trust/entry.ts';
import type { EventBus } from './event-bus.ts';
import type { ShardActor } from '../table/shard-actor.ts';

interface Place {
  readonly shard: ShardActor;
  readonly host: string;
}

/**
 * Tells the event bus of what the table has still to announce, and takes that out of the table. What is not sent, or not
 * taken out, is announced again by whoever comes next, under the same id.
 */
export class Announcer {
  readonly #bus: Pick<EventBus, 'send'>;

  constructor(bus: Pick<EventBus, 'send'>) {
    this.#bus = bus;
  }

  /** @param until when to stop trying to write, by the monotonic clock */
  async announce(places: readonly Place[], until: number): Promise<void> {
    const news = places.flatMap(({ shard, host }) => {
      const unannounced = shard.stored(host)?.unannounced ?? [];
      return unannounced.map((announcement) => ({ shard, host, announcement }));
    });
    if (news.length === 0) return;
    const taken = new Set(await this.#bus.send(news));
    const byShard = Map.groupBy(
      news.filter((each) => taken.has(each)),
      ({ shard }) => shard,
    );
    const writes = Array.from(byShard, ([shard, told]) => {
      const byHost = Map.groupBy(told, ({ host }) => host);
      const announcementsOf = (host: string): Announcement[] =>
        (byHost.get(host) ?? []).map(({ announcement }) => announcement);
      return shard.write({
        hosts: byHost.keys(),
        apply: (host, entry) => announced(entry, announcementsOf(host)),
        until,
      });
    });
    await Promise.all(writes);
  }
}
