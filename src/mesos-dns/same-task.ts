/**
 * Whether two states of a task make the same records. A reload brings every
 * task anew, and nearly all of them are as they were.
 */
import type { DiscoveryPort, Label, Task, TaskStatus } from '../control/mesos/model.ts'

const sameList = <T>(a: readonly T[], b: readonly T[], same: (x: T, y: T) => boolean): boolean =>
  a === b || (a.length === b.length && a.every((one, i) => same(one, b[i]!)))

const sameText = (a: string, b: string): boolean => a === b
const sameRange = (a: readonly [number, number], b: readonly [number, number]): boolean =>
  a[0] === b[0] && a[1] === b[1]
const sameLabel = (a: Label, b: Label): boolean => a.key === b.key && a.value === b.value
const samePort = (a: DiscoveryPort, b: DiscoveryPort): boolean =>
  a.number === b.number && a.name === b.name && a.protocol === b.protocol

const NO_STATUS: Pick<TaskStatus, 'addresses' | 'labels'> = { addresses: [], labels: [] }

/** Everything that task-records.ts looks at, and nothing else. */
export const sameTask = (a: Task, b: Task): boolean => {
  if (a === b) return true
  const [ra, rb] = [a.running ?? NO_STATUS, b.running ?? NO_STATUS]
  return (
    a.state === b.state &&
    a.name === b.name &&
    a.id === b.id &&
    a.agentId === b.agentId &&
    sameList(a.ports, b.ports, sameRange) &&
    sameList(ra.addresses, rb.addresses, sameText) &&
    sameList(ra.labels, rb.labels, sameLabel) &&
    a.discovery?.name === b.discovery?.name &&
    sameList(a.discovery?.ports ?? [], b.discovery?.ports ?? [], samePort)
  )
}
