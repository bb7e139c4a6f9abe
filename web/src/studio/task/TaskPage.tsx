import { Page, PageHead } from "../parts/layout";

export function TaskPage(_: { id: number }) {
  return <Page><PageHead title="TaskPage" /></Page>;
}
