/**
 * Compares two versions of a task: do they produce the same records? After a reload nearly all tasks are unchanged.
 */
import type { DiscoveryPort, Label, PortMapping, Task, TaskStatus } from './model.ts'

const sameList = <T>(a: readonly T[], b: readonly T[], same: (x: T, y: T) => boolean): boolean =>
  a === b || (a.length === b.length && a.every((one, i) => same(one, b[i]!)))

const sameText = (a: string, b: string): boolean => a === b
const sameRange = (a: readonly [number, number], b: readonly [number, number]): boolean =>
  a[0] === b[0] && a[1] === b[1]
const sameLabel = (a: Label, b: Label): boolean => a.key === b.key && a.value === b.value
const samePort = (a: DiscoveryPort, b: DiscoveryPort): boolean =>
  a.number === b.number &&
  a.name === b.name &&
  a.protocol === b.protocol &&
  sameList(a.labels, b.labels, sameLabel)
const sameMapping = (a: PortMapping, b: PortMapping): boolean =>
  a.hostPort === b.hostPort && a.containerPort === b.containerPort && a.protocol === b.protocol

const NO_STATUS: Pick<TaskStatus, 'addresses' | 'labels'> = { addresses: [], labels: [] }

/** The status that addresses are taken from. */
const telling = (task: Task): Pick<TaskStatus, 'addresses' | 'labels'> =>
  task.running ?? task.latest ?? NO_STATUS

/**
 * Compares every field that record generators use, here and in mesos-dns/. Health is left out, because it changes
 * often.
 */
export const sameTask = (a: Task, b: Task): boolean => {
  if (a === b) return true
  const [ra, rb] = [telling(a), telling(b)]
  return (
    a.state === b.state &&
    a.name === b.name &&
    a.id === b.id &&
    a.agentId === b.agentId &&
    a.frameworkId === b.frameworkId &&
    (a.running === undefined) === (b.running === undefined) &&
    sameList(a.ports, b.ports, sameRange) &&
    sameList(ra.addresses, rb.addresses, sameText) &&
    sameList(ra.labels, rb.labels, sameLabel) &&
    sameList(a.portMappings, b.portMappings, sameMapping) &&
    a.discovery?.name === b.discovery?.name &&
    sameList(a.discovery?.ports ?? [], b.discovery?.ports ?? [], samePort)
  )
}
