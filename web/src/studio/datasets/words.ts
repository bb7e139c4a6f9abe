/** Words of the dataset pages. */
import { wording } from "~/shared/i18n";

export const { say: sayDataset, use: useDatasetWords } = wording(
  {
    title: "Datasets", text: "Files and folders of examples. A version never changes: an edit makes the next one.",
    upload: "Upload", "upload.sending": "{name}: {sent} of {total}", "upload.reading": "{name}: reading its rows", drop: "Drop files anywhere on this page", sample: "Try it with sample invoices",
    "empty.title": "No datasets yet", "empty.text": "A dataset is a file of examples: questions with answers, conversations, or texts. JSONL, CSV, Parquet and plain text are read; a folder, as one of pictures, is uploaded as a .zip or .tar.gz.",
    "none": "No dataset is called so.", version: "Version {n}", versions: "{n} versions", reading: "being read", problems: "{n} notes", unusable: "cannot be used", ok: "no problems",
    train: "Train with it", split: "Split", delete: "Delete", "delete.title": "Delete version {n} of “{name}”?", "delete.text": "Its file is lost. Trainings that learnt from it, and other versions, stay.",
    "split.title": "Split “{name}”", "split.text": "Two new datasets: the larger part, and rows that are held out.", "split.share": "Share held out, %", "split.seed": "Seed", "split.do": "Split", "split.done": "Split into {a} and {b}",
    table: "Table", seen: "As the model sees it", statistics: "Statistics", line: "Line", folder: "folder", listen: "Listen: {name}", enlarge: "Enlarge: {name}", goto: "Go to row", previous: "Previous", next: "Next", range: "{a}–{b} of {n}",
    edit: "Edit", discard: "Discard", "edit.add": "Add a row", "edit.bar": "{changed} changed, {removed} left out, {added} added", "edit.save": "Save as version {n}", "edit.leave": "Leave out", "edit.keep": "Keep", "edit.json": "This is no JSON: {why}", "edit.saved": "Saved as version {n}",
    model: "Model", "seen.learnt": "learnt", "seen.read": "read only", "seen.counts": "{n} tokens, {learnt} learnt", "seen.cut": "cut at the model's length", "seen.none": "Choose a model to see rows as it reads them.",
    "stat.rows": "Rows", "stat.bad": "Rows that cannot be used", "stat.turns": "Turns", "stat.length": "Length", "stat.median": "half of the rows have at most", "stat.p95": "95 % of the rows have at most", "stat.max": "the longest", "stat.tokens": "tokens", "stat.characters": "characters", "stat.copies": "Exact copies", "stat.near": "Near copies", "stat.conflicts": "Answers that contradict", "stat.empty": "Empty answers", "stat.languages": "Languages", "stat.histogram": "How long the rows are", "stat.findings": "What is odd", "stat.fine": "Nothing is odd about it.", "stat.inTokens": "Count in tokens of", "stat.inCharacters": "characters", "stat.total": "Tokens in all, learnt", "stat.cut": "Rows that are cut",
    size: "Size", format: "Format", age: "Uploaded",
  },
  {
    title: "Данные", text: "Файлы и папки с примерами. Версия не меняется: правка создаёт следующую.",
    upload: "Загрузить", "upload.sending": "{name}: {sent} из {total}", "upload.reading": "{name}: читаются строки", drop: "Перетащите файлы в любое место страницы", sample: "Попробовать на примере счетов",
    "empty.title": "Данных пока нет", "empty.text": "Набор данных — файл с примерами: вопросы с ответами, диалоги или тексты. Подходят JSONL, CSV, Parquet и простой текст; папка, например с картинками, загружается архивом .zip или .tar.gz.",
    "none": "Набора с таким названием нет.", version: "Версия {n}", versions: "версий: {n}", reading: "читается", problems: "замечаний: {n}", unusable: "не подходит", ok: "без замечаний",
    train: "Обучить на нём", split: "Разделить", delete: "Удалить", "delete.title": "Удалить версию {n} набора «{name}»?", "delete.text": "Файл будет потерян. Обученное на нём и другие версии останутся.",
    "split.title": "Разделить «{name}»", "split.text": "Два новых набора: бо́льшая часть и отложенные строки.", "split.share": "Доля отложенных, %", "split.seed": "Зерно", "split.do": "Разделить", "split.done": "Разделено на {a} и {b}",
    table: "Таблица", seen: "Как видит модель", statistics: "Статистика", line: "Строка", folder: "папка", listen: "Послушать: {name}", enlarge: "Увеличить: {name}", goto: "К строке", previous: "Назад", next: "Вперёд", range: "{a}–{b} из {n}",
    edit: "Править", discard: "Отменить", "edit.add": "Добавить строку", "edit.bar": "изменено {changed}, убрано {removed}, добавлено {added}", "edit.save": "Сохранить как версию {n}", "edit.leave": "Убрать", "edit.keep": "Оставить", "edit.json": "Это не JSON: {why}", "edit.saved": "Сохранено как версия {n}",
    model: "Модель", "seen.learnt": "выучивается", "seen.read": "только читается", "seen.counts": "токенов {n}, выучивается {learnt}", "seen.cut": "обрезано по длине модели", "seen.none": "Выберите модель, чтобы увидеть строки её глазами.",
    "stat.rows": "Строк", "stat.bad": "Непригодных строк", "stat.turns": "Реплик", "stat.length": "Длина", "stat.median": "у половины строк не больше", "stat.p95": "у 95 % строк не больше", "stat.max": "самая длинная", "stat.tokens": "токены", "stat.characters": "знаки", "stat.copies": "Точных копий", "stat.near": "Почти копий", "stat.conflicts": "Противоречащих ответов", "stat.empty": "Пустых ответов", "stat.languages": "Языки", "stat.histogram": "Длина строк", "stat.findings": "Что странно", "stat.fine": "Ничего странного.", "stat.inTokens": "Считать в токенах модели", "stat.inCharacters": "знаки", "stat.total": "Токенов всего, выучивается", "stat.cut": "Обрезанных строк",
    size: "Размер", format: "Формат", age: "Загружено",
  },
  {
    title: "数据集", text: "样本文件和文件夹。版本不会改变：每次编辑产生下一个版本。",
    upload: "上传", "upload.sending": "{name}：{sent} / {total}", "upload.reading": "{name}：正在读取", drop: "将文件拖到本页任意位置", sample: "用示例发票试试",
    "empty.title": "还没有数据集", "empty.text": "数据集是样本文件：问答、对话或文本。支持 JSONL、CSV、Parquet 和纯文本；文件夹（如图片）以 .zip 或 .tar.gz 上传。",
    "none": "没有这个名称的数据集。", version: "版本 {n}", versions: "{n} 个版本", reading: "读取中", problems: "{n} 条提示", unusable: "无法使用", ok: "没有问题",
    train: "用它训练", split: "拆分", delete: "删除", "delete.title": "删除“{name}”的版本 {n}？", "delete.text": "文件将丢失。已训练的结果和其他版本会保留。",
    "split.title": "拆分“{name}”", "split.text": "得到两个新数据集：较大的部分和保留的行。", "split.share": "保留比例，%", "split.seed": "随机种子", "split.do": "拆分", "split.done": "已拆分为 {a} 和 {b}",
    table: "表格", seen: "模型所见", statistics: "统计", line: "行", folder: "文件夹", listen: "播放：{name}", enlarge: "放大：{name}", goto: "跳到行", previous: "上一页", next: "下一页", range: "{a}–{b} / {n}",
    edit: "编辑", discard: "放弃", "edit.add": "添加一行", "edit.bar": "修改 {changed}，去除 {removed}，新增 {added}", "edit.save": "保存为版本 {n}", "edit.leave": "去除", "edit.keep": "保留", "edit.json": "不是 JSON：{why}", "edit.saved": "已保存为版本 {n}",
    model: "模型", "seen.learnt": "学习", "seen.read": "只读", "seen.counts": "{n} 个词元，学习 {learnt} 个", "seen.cut": "按模型长度截断", "seen.none": "选择模型，查看它读到的内容。",
    "stat.rows": "行数", "stat.bad": "不可用的行", "stat.turns": "轮次", "stat.length": "长度", "stat.median": "半数行不超过", "stat.p95": "95 % 的行不超过", "stat.max": "最长", "stat.tokens": "词元", "stat.characters": "字符", "stat.copies": "完全重复", "stat.near": "近似重复", "stat.conflicts": "相互矛盾的回答", "stat.empty": "空回答", "stat.languages": "语言", "stat.histogram": "行长度分布", "stat.findings": "异常之处", "stat.fine": "没有异常。", "stat.inTokens": "按模型词元计数", "stat.inCharacters": "字符", "stat.total": "词元总数，学习数", "stat.cut": "被截断的行",
    size: "大小", format: "格式", age: "上传于",
  },
);
