/** The studio's frame: where one is, what the server says, and the page itself. */
import { useQuery } from "@tanstack/react-query";
import { AudioLines, Boxes, Command, Database, Hammer, ListTodo, LogOut, MessagesSquare, Settings2, SlidersHorizontal, WifiOff } from "lucide-react";
import { useEffect, useState } from "react";
import { Link, Redirect, Route, Switch, useLocation } from "wouter";
import { navigate } from "wouter/use-browser-location";
import { IconButton } from "~/shared/components/Button";
import { KeyDialog } from "~/shared/components/KeyDialog";
import { type Action, Palette, usePaletteKey } from "~/shared/components/Palette";
import { Empty } from "~/shared/components/states";
import { LanguageMenu, pageActions, ThemeMenu } from "~/shared/components/Switches";
import { toast, Toasts } from "~/shared/components/Toasts";
import { currentLanguage, useT } from "~/shared/i18n";
import { useStore } from "~/shared/store";
import { sessions, type Task, tasks } from "./api";
import { Boundary } from "./parts/Boundary";
import { AssistantsPage } from "./assistants/AssistantsPage";
import { DatasetPage } from "./datasets/DatasetPage";
import { DatasetsPage } from "./datasets/DatasetsPage";
import { connection, follow, onTask, queries } from "./live";
import { CheckPage } from "./models/CheckPage";
import { ModelsPage } from "./models/ModelsPage";
import { SystemPage } from "./system/SystemPage";
import { TaskPage } from "./task/TaskPage";
import { TasksPage } from "./task/TasksPage";
import { TrainPage } from "./train/TrainPage";
import { TunePage } from "./tune/TunePage";
import { sayStudio, useStudioWords } from "./words";

const PLACES = [
  { path: "/train", name: "train", icon: Hammer },
  { path: "/tasks", name: "tasks", icon: ListTodo },
  { path: "/datasets", name: "datasets", icon: Database },
  { path: "/tune", name: "tune", icon: SlidersHorizontal },
  { path: "/models", name: "models", icon: Boxes },
  { path: "/assistants", name: "assistants", icon: MessagesSquare },
  { path: "/system", name: "system", icon: Settings2 },
] as const;

export function App() {
  const t = useStudioWords();
  const [place] = useLocation();
  const [palette, setPalette] = useState(false);
  usePaletteKey(() => setPalette(true));
  useEffect(follow, []);
  useEffect(() => onTask(tell), []);
  useEffect(() => {
    document.documentElement.lang = currentLanguage();
    const here = PLACES.find(({ path }) => place.startsWith(path));
    document.title = here ? `${t(`nav.${here.name}`)} · lorasmith` : "lorasmith";
  });
  return (
    <div className="flex h-dvh flex-col">
      <a href="#content" className="sr-only z-50 rounded-md bg-accent px-3 py-2 text-white focus:not-sr-only focus:absolute focus:top-2 focus:left-2">{t("nav.skip")}</a>
      <Bar place={place} onPalette={() => setPalette(true)} />
      <GoneStrip />
      <main id="content" tabIndex={-1} className="min-h-0 flex-1 overflow-y-auto focus:outline-none">
        <Boundary key={place}>
        <Switch>
          <Route path="/"><Redirect to="/train" replace /></Route>
          <Route path="/train" component={TrainPage} />
          <Route path="/tasks" component={TasksPage} />
          <Route path="/tasks/:id">{({ id }) => <TaskPage key={id} id={Number(id)} />}</Route>
          <Route path="/datasets" component={DatasetsPage} />
          <Route path="/datasets/:id">{({ id }) => <DatasetPage key={id} id={Number(id)} />}</Route>
          <Route path="/tune" component={TunePage} />
          <Route path="/models" component={ModelsPage} />
          <Route path="/models/check" component={CheckPage} />
          <Route path="/assistants"><AssistantsPage /></Route>
          <Route path="/assistants/:id">{({ id }) => <AssistantsPage chosen={Number(id)} />}</Route>
          <Route path="/system" component={SystemPage} />
          <Route><NotFound /></Route>
        </Switch>
        </Boundary>
      </main>
      {palette && <Commands onClose={() => setPalette(false)} />}
      <KeyDialog />
      <Toasts />
    </div>
  );
}

function Bar({ place, onPalette }: { place: string; onPalette: () => void }) {
  const t = useStudioWords();
  const shared = useT();
  const { data: session } = useQuery({ queryKey: ["session"], queryFn: sessions.now, staleTime: Infinity });
  const signOut = (): void => void sessions.signOut().then(() => location.reload());
  return (
    <header className="flex h-13 shrink-0 items-center gap-2 border-b border-line bg-panel px-3">
      <Link href="/train" className="flex shrink-0 items-center gap-2 rounded-md px-1 font-semibold" aria-label="lorasmith">
        <span className="grid size-7 place-items-center rounded-md bg-accent text-white"><AudioLines size={16} aria-hidden /></span>
        <span className="hidden lg:inline">lorasmith</span>
      </Link>
      <nav aria-label={t("nav.title")} className="flex min-w-0 flex-1 gap-0.5 overflow-x-auto px-1 [scrollbar-width:none]">
        {PLACES.map(({ path, name, icon: Icon }) => {
          const isHere = place.startsWith(path);
          return (
            <Link
              key={path}
              href={path}
              aria-current={isHere ? "page" : undefined}
              aria-label={t(`nav.${name}`)}
              title={t(`nav.${name}`)}
              ref={(node: HTMLAnchorElement | null) => { if (isHere) node?.scrollIntoView({ block: "nearest", inline: "nearest" }); }}
              className={`inline-flex h-9 shrink-0 items-center gap-2 rounded-md px-2.5 font-medium transition-colors ${isHere ? "bg-accent-soft text-accent-ink" : "text-muted hover:bg-raised hover:text-ink"}`}
            >
              <Icon size={16} aria-hidden />
              <span className={isHere ? "" : "hidden md:inline"}>{t(`nav.${name}`)}</span>
            </Link>
          );
        })}
      </nav>
      <span className="hidden sm:contents">
        <IconButton label={`${shared("palette.title")} (Ctrl K)`} icon={Command} onClick={onPalette} />
      </span>
      <span className="hidden sm:contents"><LanguageMenu /></span>
      <ThemeMenu />
      {session?.account && <IconButton label={`${t("signOut")}: ${session.account}`} icon={LogOut} onClick={signOut} />}
    </header>
  );
}

function GoneStrip() {
  const t = useStudioWords();
  const { gone } = useStore(connection, (c) => c);
  if (!gone) return null;
  return (
    <p role="alert" className="appear flex items-center justify-center gap-2 bg-warn-soft px-4 py-2 text-center text-warn">
      <WifiOff size={16} aria-hidden className="shrink-0" />
      {t("gone")}
    </p>
  );
}

function NotFound() {
  const t = useStudioWords();
  return (
    <Empty icon={WifiOff} title={t("notFound.title")} text={t("notFound.text")}>
      <Link href="/train" className="font-medium text-accent-ink underline">{t("notFound.home")}</Link>
    </Empty>
  );
}

function Commands({ onClose }: { onClose: () => void }) {
  const t = useStudioWords();
  const shared = useT();
  const { data } = useQuery({ queryKey: ["tasks", { limit: 50 }], queryFn: () => tasks.list({ limit: 50 }) });
  const actions: Action[] = [
    ...PLACES.map(({ path, name, icon }) => ({ label: t(`nav.${name}`), icon, run: () => navigate(path) })),
    ...pageActions(shared),
    ...(data?.items ?? []).map(({ id, task_name }) => ({ label: t("palette.openTask", { name: task_name }), icon: ListTodo, run: () => navigate(`/tasks/${id}`) })),
  ];
  return <Palette actions={actions} onClose={onClose} />;
}

/** Says once that a task has ended, wherever the reader is. */
function tell(task: Task, before: Task | undefined): void {
  if (!before || before.status === task.status || task.kind === "serve") return;
  const name = task.task_name;
  if (task.status === "completed") toast(sayStudio("told.completed", { name }));
  if (task.status === "failed") toast(sayStudio("told.failed", { name, why: task.error?.what ?? "" }), { bad: true });
  if (task.status === "interrupted") toast(sayStudio("told.interrupted", { name }), { bad: true });
  if (task.status === "stopped") toast(sayStudio("told.stopped", { name }));
  if (task.status === "completed" && task.kind === "install") void queries.invalidateQueries({ queryKey: ["models"] });
}
