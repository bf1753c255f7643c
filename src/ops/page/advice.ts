/**
 * What an operator should do first about a problem: one sentence, found by the text of the health reason. The first
 * matching line is shown, so the order matters.
 */
import type { Reason } from '../../boundary/health.ts'

type Advice = readonly [when: RegExp, then: string]

/** Matched against "name: detail" of a reason (boundary/health.ts). */
const ADVICE: readonly Advice[] = [
  [
    /^data thread: silent/,
    'Restart it: systemctl restart spartan. The watchdog does so by itself within seconds.',
  ],
  [/^daemon: is stopping/, 'It is being stopped; nothing is to be done here.'],
  [
    /EADDRINUSE/,
    'Another program has the address: find it with ss -lnptu, and stop it or move it.',
  ],
  [
    /EADDRNOTAVAIL/,
    'This host does not have the address: systemctl restart spartan-addresses, or take it out of listen.addresses.',
  ],
  [/EACCES|EPERM/, 'The daemon may not do that: compare its unit with the one that was shipped.'],
  [
    /not bound yet|has not answered a query yet|has not started/,
    'It is starting; look again in a few seconds.',
  ],
  [
    /: does not answer: (?:no answer within|answers )/,
    'Ask it by hand, dig @ADDRESS ready.spartan, and read journalctl -u spartan.',
  ],
  [
    /^configuration: reload refused/,
    'Correct the file and reload again; until then the configuration before it stays in use.',
  ],
  [
    /^masters: /,
    'Look whether the source of the master list answers: spartan check --deep. The last good list stays in use.',
  ],
  [
    /does not answer/,
    'Look whether this host reaches that server: spartan upstreams. It is asked again by itself when it answers.',
  ],
  [
    /zone data has not arrived/,
    'Its names are SERVFAIL until the gossip or a master brings them: spartan members.',
  ],
]

/** One sentence, ending in a full stop. */
export const adviceOn = ({ name, detail }: Reason): string =>
  ADVICE.find(([when]) => when.test(`${name}: ${detail}`))?.[1] ??
  'Read what the daemon last said: journalctl -u spartan -n 50.'
