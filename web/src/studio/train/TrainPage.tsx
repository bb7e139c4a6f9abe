import { Page, PageHead } from "../parts/layout";

export function TrainPage() {
  return <Page><PageHead title="TrainPage" /></Page>;
}
