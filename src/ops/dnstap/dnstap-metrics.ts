/** The metrics of dnstap. */
import type { Family, MetricDef } from '../families.ts'
import type { DnstapCounts } from './sender.ts'

/** Whether there is a reader, and the counts; undefined while dnstap is off. */
type From = () => (DnstapCounts & { readonly up: boolean }) | undefined

export const DNSTAP_FAMILIES: readonly Family<From>[] = [
  {
    name: 'dnstap_up',
    type: 'gauge',
    labels: [],
    help: 'Whether a reader of dnstap is connected; absent while dnstap is off',
    read: (from, put) => {
      const now = from()
      if (now) put(now.up ? 1 : 0)
    },
  },
  {
    name: 'dnstap_sent_total',
    type: 'counter',
    labels: [],
    help: 'Queries that were sent to the reader of dnstap',
    read: (from, put) => {
      const now = from()
      if (now) put(now.sent)
    },
  },
  {
    name: 'dnstap_dropped_total',
    type: 'counter',
    labels: ['reason'],
    help: 'Queries that the reader of dnstap does not have, and why: there was no reader, it was slow, or this process was behind. Clients got their answers',
    read: (from, put) => {
      const now = from()
      if (!now) return
      put(now.noReader, 'no_reader')
      put(now.slowReader, 'slow_reader')
      put(now.behind, 'behind')
    },
  },
]

export const DNSTAP_METRICS: readonly MetricDef[] = DNSTAP_FAMILIES.map(
  ({ name, type, labels, help }) => ({ name, type, labels, help }),
)
