import { describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { parseVtime } from '../../../../lambda/service/oat/vtime.ts';

describe('a vtime', () => {
  test.each<[string, unknown, string]>([
    ['OAT 1.0 to 1.6', '2013-05-16T14:14:44.881+08:00', '2013-05-16T06:14:44.881Z'],
    ['OAT 1.x with no fraction', '2013-05-16T14:14:44+08:00', '2013-05-16T06:14:44.000Z'],
    ['OAT 1.x in UTC', '2013-05-16T14:14:44.881Z', '2013-05-16T14:14:44.881Z'],
    ['OAT 1.x in UTC with no fraction', '2013-05-16T14:14:44Z', '2013-05-16T14:14:44.000Z'],
    ['OAT 2.x, without a colon', '2013-12-03T09:15:30.120+0000', '2013-12-03T09:15:30.120Z'],
    ['OAT 2.x west of Greenwich', '2013-12-03T23:15:30.120-0930', '2013-12-04T08:45:30.120Z'],
    ['a zone of minutes', '2013-12-03T00:15:30+05:45', '2013-12-02T18:30:30.000Z'],
    ['the easternmost zone', '2014-01-01T00:00:00+14:00', '2013-12-31T10:00:00.000Z'],
    ['a fraction of one digit', '2013-05-16T14:14:44.8Z', '2013-05-16T14:14:44.800Z'],
    ['a fraction of nanoseconds', '2013-05-16T14:14:44.881999999Z', '2013-05-16T14:14:44.881Z'],
    ['a leap day', '2012-02-29T00:00:00Z', '2012-02-29T00:00:00.000Z'],
    ['a year before 100', '0099-01-01T00:00:00Z', '0099-01-01T00:00:00.000Z'],
    ['OAT 2.x with its other mapper', 1386062130120, '2013-12-03T09:15:30.120Z'],
    ['that as a string', '1386062130120', '2013-12-03T09:15:30.120Z'],
    ['the epoch', 0, '1970-01-01T00:00:00.000Z'],
  ])('of %s is read', (_, vtime, expected) => {
    expect(new Date(Number(parseVtime(vtime))).toISOString()).toBe(expected);
  });

  test.each([
    ['Mt. Wilson', 'Tue Dec 3 09:12:30 2013'],
    ['Mt. Wilson, the day padded', 'Tue Dec  3 09:12:30 2013'],
    ['Mt. Wilson, a day of two digits', 'Thu May 16 14:05:44 2013'],
    ['C, at the end of a month that is longer elsewhere', 'Sat Feb 29 09:12:30 2013'],
    ['C, on another day of the week', 'Mon Dec 3 09:12:30 2013'],
    ['ISO', '2013-05-16T14:14:44'],
    ['ISO, with a fraction', '2013-05-16T14:14:44.881'],
    ['ISO, the minutes where the month belongs', '2013-47-16T14:05:44'],
    ['ISO, hour 24', '2013-05-16T24:00:00'],
  ])('without a zone, of %s, is known for such, and says no time', (_, vtime) => {
    expect(parseVtime(vtime)).toBe('zoneless');
  });

  test('does not depend on the zone of the process', () => {
    const module = new URL('../../../../lambda/service/oat/vtime.ts', import.meta.url).href;
    const script = `import(${JSON.stringify(module)}).then(({ parseVtime }) => {
      console.log(new Date(0).getTimezoneOffset(), ...['', 'Z'].map((zone) => parseVtime('2013-12-03T09:12:30' + zone)));
    })`;
    const output = execFileSync(process.execPath, ['-e', script], { encoding: 'utf8', env: { TZ: 'Asia/Tokyo' } });
    expect(output.trim()).toBe(`-540 zoneless ${Date.UTC(2013, 11, 3, 9, 12, 30)}`);
  });

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['true', true],
    ['an object', {}],
    ['an array with a good one', ['2013-05-16T14:14:44Z']],
    ['an empty text', ''],
    ['a text of spaces', '  '],
    ['what JavaScript takes for a date', '09/09/12'],
    ['an ISO date without a time', '2013-05-16'],
    ['an ISO date and time in one', '20130516T141444'],
    ['an ISO time with a space', '2013-05-16 14:14:44Z'],
    ['an ISO time in lower case', '2013-05-16t14:14:44z'],
    ['an ISO time without seconds', '2013-05-16T14:14Z'],
    ['a comma before the fraction', '2013-05-16T14:14:44,881Z'],
    ['a point without a fraction', '2013-05-16T14:14:44.Z'],
    ['spaces around it', ' 2013-05-16T14:14:44Z '],
    ['a line break after it', '2013-05-16T14:14:44Z\n'],
    ['two of them', '2013-05-16T14:14:44Z2013-05-16T14:14:44Z'],
    ['another script’s digits', '２０１３-05-16T14:14:44Z'],
    ['month 0', '2013-00-16T14:14:44Z'],
    ['month 13', '2013-13-16T14:14:44Z'],
    ['day 0', '2013-05-00T14:14:44Z'],
    ['a day that the month does not have', '2013-04-31T14:14:44Z'],
    ['a leap day in another year', '2013-02-29T14:14:44Z'],
    ['hour 24', '2013-05-16T24:00:00Z'],
    ['minute 60', '2013-05-16T14:60:44Z'],
    ['second 60', '2013-05-16T14:14:60Z'],
    ['a zone that no place has', '2013-05-16T14:14:44+15:00'],
    ['a zone of 60 minutes', '2013-05-16T14:14:44+08:60'],
    ['a zone by name', '2013-05-16T14:14:44 CET'],
    ['a zone of hours alone', '2013-05-16T14:14:44+08'],
    ['a C time with a month in another language', 'Die Dez 3 09:12:30 2013'],
    ['a C time with a month that is none', 'Tue Dex 3 09:12:30 2013'],
    ['a C time with second 60', 'Tue Dec 3 09:12:60 2013'],
    ['a C time without a year', 'Tue Dec 3 09:12:30'],
    ['a C time with a line break after it', 'Tue Dec 3 09:12:30 2013\n'],
    ['an ISO time without a zone and with a space', '2013-05-16 14:14:44'],
    ['an ISO time without a zone or seconds', '2013-05-16T14:14'],
    ['an ISO time without a zone, with a point and no fraction', '2013-05-16T14:14:44.'],
    ['an ISO time without a zone, with numbers that no part of a time has', '2013-99-99T99:99:99'],
    ['two ISO times without a zone', '2013-05-16T14:14:442013-05-16T14:14:44'],
    ['a C time with a zone', 'Tue Dec 3 09:12:30 UTC 2013'],
    ['a C time in small letters', 'tue dec 3 09:12:30 2013'],
    ['a negative number', -1],
    ['a broken number', 1386062130120.5],
    ['not a number', NaN],
    ['infinity', Infinity],
    ['a number beyond all dates', 8.64e15 + 1],
    ['a negative number as a string', '-1386062130120'],
    ['a broken number as a string', '1386062130120.0'],
    ['a number in another notation', '1.386e12'],
    ['a string of more digits than a time has', '1386062130120000000'],
  ])('is refused: %s', (_, vtime) => {
    expect(parseVtime(vtime)).toBeUndefined();
  });

  test('that is anything at all yields a time or nothing, and never throws', () => {
    const digits = fc.string({ unit: fc.nat(9).map(String), maxLength: 20, size: 'max' });
    const good = fc.constantFrom('2013-05-16T14:14:44.881+0800', '2013-05-16T14:14:44Z', 'Tue Dec  3 09:12:30 2013');
    const oddText = fc.oneof(digits, fc.string({ maxLength: 3 }), fc.constantFrom('', ' ', '\n', ':', '.', '-', 'Z'));
    const almost = fc
      .tuple(good, fc.nat(27), oddText, fc.nat(3))
      .map(([text, at, odd, removed]) => text.slice(0, at) + odd + text.slice(at + removed));
    // Right in its form, and mostly wrong in its parts.
    const part = fc.nat(99).map((number) => String(number).padStart(2, '0'));
    const shaped = fc
      .tuple(
        fc.nat(9999),
        part,
        part,
        part,
        part,
        part,
        fc.constantFrom('Z', '+0000', '-09:30', '+14:00', '+99:99', ''),
      )
      .map(([year, ...parts]) => {
        const [month, day, hour, minute, second, zone] = parts;
        return `${String(year).padStart(4, '0')}-${month}-${day}T${hour}:${minute}:${second}${zone}`;
      });
    const anything = fc.oneof(
      { weight: 3, arbitrary: almost },
      { weight: 3, arbitrary: shaped },
      { weight: 2, arbitrary: fc.string({ unit: 'binary' }) },
      digits,
      fc.double(),
      fc.maxSafeInteger(),
      fc.anything({ maxDepth: 1 }),
    );
    let times = 0;
    fc.assert(
      fc.property(anything, (vtime) => {
        const time = parseVtime(vtime);
        if (time === undefined) return;
        if (time === 'zoneless') {
          if (typeof vtime !== 'string') throw new Error('only a text lacks a zone');
          // The time of day, and a year, in either form.
          if (!/\d\d:\d\d:\d\d/.test(vtime) || !/\d{4}/.test(vtime)) throw new Error('a text that is no time');
          if (/Z|[+]|:\d\d.*-/.test(vtime)) throw new Error('a zone was overlooked');
          return;
        }
        times++;
        if (!Number.isInteger(time) || Number.isNaN(new Date(time).getTime())) throw new Error(`${time} is no time`);
        if (typeof vtime === 'number' && vtime !== time) throw new Error(`${time} is another number`);
        if (typeof vtime !== 'number' && typeof vtime !== 'string') throw new Error('only numbers and texts are times');
        if (typeof vtime !== 'string' || !vtime.includes('T') || !vtime.includes('-')) return;
        // JavaScript makes the next month's first days of days that a month does not have.
        const local = vtime.slice(0, 19);
        if (new Date(`${local}Z`).toISOString().slice(0, 19) !== local) throw new Error(`${local} is in no calendar`);
      }),
      { numRuns: 20_000 },
    );
    // Otherwise nothing was shown.
    expect(times).toBeGreaterThan(1_000);
  });

  test('of every moment is the same in each of the forms', () => {
    const moments = fc.date({ min: new Date('0001-01-02'), max: new Date('9999-12-30'), noInvalidDate: true });
    fc.assert(
      fc.property(moments, fc.integer({ min: -14 * 60, max: 14 * 60 }), fc.boolean(), (date, offset, colon) => {
        const local = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, -1);
        const [hours, minutes] = [Math.trunc(Math.abs(offset) / 60), Math.abs(offset) % 60].map((part) =>
          String(part).padStart(2, '0'),
        );
        const zone = `${offset < 0 ? '-' : '+'}${hours}${colon ? ':' : ''}${minutes}`;
        expect(parseVtime(local + zone)).toBe(date.getTime());
        expect(parseVtime(local)).toBe('zoneless');
        const [weekday, day = '', month, year, time] = date.toUTCString().split(/,? /);
        expect(parseVtime(`${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} ${year}`)).toBe('zoneless');
        if (date.getTime() >= 0) expect(parseVtime(String(date.getTime()))).toBe(date.getTime());
      }),
    );
  });
});
