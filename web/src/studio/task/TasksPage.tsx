import { Page, PageHead } from "../parts/layout";

export function TasksPage() {
  return <Page><PageHead title="TasksPage" /></Page>;
}
